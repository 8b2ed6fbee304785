//! Integration tests: the whole product over real HTTP, and the shape of its sources.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "a test stops at its first surprise, and cuts a text only where it has just found something"
)]

mod accounts;
mod alerts;
mod answering;
mod architecture;
mod backup;
mod bad_input;
mod cluster;
mod command_line;
mod consent;
mod conversations;
mod crash;
mod desk_live;
mod doctor;
mod every_service;
mod first_floor;
mod foreign_bot;
mod foreign_desk;
mod gate;
mod gateway;
mod growth;
mod hints;
mod house;
mod inbound;
mod intake;
mod marketing;
mod others_pages;
mod overload;
mod pages;
mod postgres;
mod processes;
mod reload;
mod retention;
mod sealed;
mod sending;
mod sending_database;
mod services;
mod sign_on;
mod strangers;
mod tls;
mod understanding;
mod voice;
mod watching;
mod wechat;
mod world;
mod zones;
