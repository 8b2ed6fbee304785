//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::config::Network;

/// Hops of `X-Forwarded-For` that are looked at, from the nearest backwards.
const HOPS_MAX: usize = 16;

/// The client's address: the peer's, or behind trusted proxies the nearest hop of `X-Forwarded-For` that is none of
/// them. What a client wrote into the header itself stands before that hop and never counts; what cannot be read
/// ends the chain, for nobody vouches for what is before it. `None` where the connection has no address.
pub(super) fn address(request: &HttpRequest, trusted: &[Network]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = request.peer_addr()?.ip().to_canonical();
    let lines: Vec<_> = request.headers().get_all(header::X_FORWARDED_FOR).collect();
    let hops = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for hop in hops.take(HOPS_MAX) {
        if !is_trusted(client) {
            break;
        }
        let Some(hop) = read(hop) else { break };
        client = hop;
    }
    Some(client)
}

/// An address, as some proxies write it with its port, or in brackets.
fn read(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse().ok().map(|with_port: SocketAddr| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::Config;

    const CONFIG: &str = r#"
[server]
trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"]
[database]
url = "sqlite://unused"
[[accounts]]
id = "card"
name = "n"
original_id = "o"
app_id = "a"
app_secret = "s"
token = "t"
encryption = "plain"
[core]
base_url = "http://127.0.0.1:1"
secret = "whsec_aXQtY29yZQ=="
"#;

    fn of(peer: &str, lines: &[&[u8]]) -> String {
        let config = Config::parse("w.toml", CONFIG, []).unwrap();
        let mut request = TestRequest::get().peer_addr(peer.parse().unwrap());
        for line in lines {
            request = request.append_header(("x-forwarded-for", HeaderValue::from_bytes(line).unwrap()));
        }
        address(&request.to_http_request(), &config.server.trusted_proxies).unwrap().to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_vouches_for_counts() {
        let table: [(&str, &str, &str); 16] = [
            // A stranger may write what he likes.
            ("198.51.100.1:1", "203.0.113.9", "198.51.100.1"),
            ("198.51.100.1:1", "127.0.0.1", "198.51.100.1"),
            ("[2001:db8:2::1]:1", "203.0.113.9", "2001:db8:2::1"),
            // A proxy adds at the end; what stands before is the client's own writing.
            ("127.0.0.1:1", "203.0.113.9", "203.0.113.9"),
            ("127.0.0.1:1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("127.0.0.1:1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
            // A chain of proxies.
            ("127.0.0.1:1", "1.1.1.1, 203.0.113.9, 10.0.0.7, 10.255.0.1", "203.0.113.9"),
            ("127.0.0.1:1", "10.0.0.8, 10.0.0.7", "10.0.0.8"),
            // IPv6, plain, with port, in brackets, and IPv4 inside it.
            ("[2001:db8:1::5]:1", "2001:db8:2::9", "2001:db8:2::9"),
            ("127.0.0.1:1", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
            ("127.0.0.1:1", "[2001:db8:2::9]", "2001:db8:2::9"),
            ("[::ffff:127.0.0.1]:1", "::ffff:203.0.113.9", "203.0.113.9"),
            ("127.0.0.1:1", "203.0.113.9:80", "203.0.113.9"),
            // What cannot be read ends the chain.
            ("127.0.0.1:1", "203.0.113.9, nonsense", "127.0.0.1"),
            ("127.0.0.1:1", "203.0.113.9, unknown, 10.0.0.7", "10.0.0.7"),
            ("127.0.0.1:1", "", "127.0.0.1"),
        ];
        for (peer, forwarded, expected) in table {
            assert_eq!(of(peer, &[forwarded.as_bytes()]), expected, "{peer} {forwarded}");
        }
    }

    #[test]
    fn several_header_lines_are_one_chain_and_none_is_passed_over() {
        assert_eq!(of("127.0.0.1:1", &[b"1.1.1.1", b"203.0.113.9"]), "203.0.113.9");
        assert_eq!(of("127.0.0.1:1", &[b"203.0.113.9", b"10.0.0.7"]), "203.0.113.9");
        assert_eq!(of("127.0.0.1:1", &[b"203.0.113.9", b"\xff"]), "127.0.0.1");
        let long = "10.0.0.1, ".repeat(500) + "10.0.0.1";
        assert_eq!(of("127.0.0.1:1", &[b"203.0.113.9", long.as_bytes()]), "10.0.0.1");
    }
}
