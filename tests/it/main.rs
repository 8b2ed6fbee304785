//! Integration tests: the whole product over real HTTP.
