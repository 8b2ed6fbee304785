//! Networks, as `trusted_proxies` names them.

use std::fmt;
use std::net::IpAddr;

/// One address (`10.0.0.1`) or a network in CIDR notation (`10.0.0.0/8`, `2001:db8::/32`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Reads an address or a network; the error completes the sentence "`key` …".
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let refused = || format!("must be an IP address or a network like 10.0.0.0/8, not `{text}`");
        let address = address.parse::<IpAddr>().map_err(|_| refused())?.to_canonical();
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(refused)?
            }
            Some(_) => return Err(refused()),
        };
        let network = Self { address, prefix_bits };
        if network.first_bits(address) != bits_of(address) {
            return Err(format!("has bits behind its prefix: did you mean {}?", network.trimmed()));
        }
        Ok(network)
    }

    /// Whether the address lies inside. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is that IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && self.first_bits(address) == bits_of(self.address)
    }

    /// The address's bits with those behind the prefix cleared.
    fn first_bits(&self, address: IpAddr) -> u128 {
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let behind = width - u32::from(self.prefix_bits);
        bits_of(address).checked_shr(behind).and_then(|bits| bits.checked_shl(behind)).unwrap_or(0)
    }

    fn trimmed(&self) -> Self {
        let bits = self.first_bits(self.address);
        let address = match self.address {
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(0))),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::from_bits(bits)),
        };
        Self { address, prefix_bits: self.prefix_bits }
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix_bits {
            bits if bits == whole => write!(f, "{}", self.address),
            bits => write!(f, "{}/{bits}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let table = [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "203.0.113.9", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("192.168.4.0/22", "192.168.7.255", true),
            ("192.168.4.0/22", "192.168.8.0", false),
        ];
        for (network, address, inside) in table {
            let network = Network::parse(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_bits_behind_the_prefix_are_told() {
        for text in ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "/8"] {
            assert!(Network::parse(text).unwrap_err().contains("IP address or a network"), "{text}");
        }
        let told = Network::parse("10.1.2.3/8").unwrap_err();
        assert_eq!(told, "has bits behind its prefix: did you mean 10.0.0.0/8?");
        assert_eq!(Network::parse("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert_eq!(Network::parse("10.0.0.1/32").unwrap().to_string(), "10.0.0.1");
    }
}
