//! Some of all IP addresses: those that begin with the same bits.

use std::{error::Error, fmt, net::IpAddr, str::FromStr};

/// The bits with which an IPv4 address that is mapped into IPv6 begins.
const MAPPED: u8 = 96;

/// The IP addresses that begin with the same bits, in the notation `10.0.0.0/8`. One address is a network as well.
///
/// ```
/// use asynchat::Network;
/// use std::net::IpAddr;
///
/// let private: Network = "10.0.0.0/8".parse().unwrap();
/// assert!(private.contains([10, 1, 2, 3].into()));
/// assert!(!private.contains([11, 0, 0, 0].into()));
/// assert!(!private.contains("::1".parse().unwrap()));
///
/// let one: Network = "::1".parse().unwrap();
/// assert_eq!((one, one.to_string()), (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]).into(), "::1/128".into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is in this network. An IPv4 address that is mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        begin(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// The address with all bits behind the first `bits` 0; `None` if it does not have as many.
fn begin(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let behind = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = address.to_bits() & !behind;
            (bits <= 32).then(|| IpAddr::V4(address.into()))?
        }
        IpAddr::V6(address) => {
            let behind = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = address.to_bits() & !behind;
            (bits <= 128).then(|| IpAddr::V6(address.into()))?
        }
    })
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let bits = if first.is_ipv4() { 32 } else { 128 };
        Self { first, bits }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// Text that is neither `IP` nor `IP/BITS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkParseError(String);

impl fmt::Display for NetworkParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is neither IP nor IP/BITS, such as 10.0.0.0/8",
            self.0
        )
    }
}

impl Error for NetworkParseError {}

/// Reads `IP` or `IP/BITS`. Bits of the address behind the first `BITS` are ignored.
impl FromStr for Network {
    type Err = NetworkParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = || {
            let Some((address, bits)) = text.split_once('/') else {
                return Some(text.parse::<IpAddr>().ok()?.into());
            };
            let (mut address, mut bits) = (address.parse::<IpAddr>().ok()?, bits.parse().ok()?);
            // A network of mapped addresses is one of IPv4, as they are.
            if address != address.to_canonical() && bits >= MAPPED {
                (address, bits) = (address.to_canonical(), bits - MAPPED);
            }
            let first = begin(address, bits)?;
            Some(Self { first, bits })
        };
        network().ok_or_else(|| NetworkParseError(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_with_its_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.9.8.7/8", "10.0.0.1", "9.255.255.255"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "::1"),
            ("0.0.0.0/0", "255.255.255.255", "::2"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1/128", "::1", "::"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.1/128", "::ffff:10.0.0.1", "10.0.0.2"),
            ("::ffff:0:0/96", "10.0.0.1", "::1"),
            ("::ffff:10.0.0.1/64", "::1", "10.0.0.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(
                parsed.contains(inside.parse().unwrap()),
                "{network} {inside}"
            );
            assert!(
                !parsed.contains(outside.parse().unwrap()),
                "{network} {outside}"
            );
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "::ffff:10.0.0.0/129",
            "10/8",
            "10.0.0.0/-1",
            "a/8",
            "::1/8/8",
        ] {
            let error = text.parse::<Network>().unwrap_err();
            assert!(error.to_string().contains("neither"), "{error}");
        }
    }
}
