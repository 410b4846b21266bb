//! How a connection is protected.

use std::fmt;

use asynchat_rustls::TlsInfo;
use rustls::{CipherSuite, ProtocolVersion};

/// The version of TLS, and the cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    protocol: ProtocolVersion,
    suite: CipherSuite,
}

impl Protection {
    pub fn protocol(self) -> ProtocolVersion {
        self.protocol
    }
}

impl From<TlsInfo<'_>> for Protection {
    fn from(info: TlsInfo<'_>) -> Self {
        Self {
            protocol: info.protocol(),
            suite: info.suite(),
        }
    }
}

/// As other servers write it, `TLSv1.3 TLS_AES_128_GCM_SHA256`: the names of IANA, not those of rustls.
impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = self.suite.as_str().unwrap_or("-");
        match suite.strip_prefix("TLS13_") {
            Some(rest) => write!(f, "{protocol} TLS_{rest}"),
            None => write!(f, "{protocol} {suite}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_of_iana() {
        for (protocol, suite, text) in [
            (
                ProtocolVersion::TLSv1_3,
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                "TLSv1.3 TLS_AES_128_GCM_SHA256",
            ),
            (
                ProtocolVersion::TLSv1_2,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                "TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            ),
        ] {
            assert_eq!(Protection { protocol, suite }.to_string(), text);
        }
    }
}
