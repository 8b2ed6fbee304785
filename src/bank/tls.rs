//! TLS towards the bank's own systems: a private CA, a client certificate, and what a refused handshake means.

use std::error::Error;
use std::fmt;

use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::{AlertDescription, CertificateError};

use crate::config::Tls;

/// Sets the client for the system at `address` up as the section says. Environment variables for proxies do not count:
/// the bank's systems are near.
///
/// # Errors
/// When the certificates do not read; the configuration has checked them.
pub(super) fn dressed(client: ClientBuilder, address: &str, tls: &Tls) -> reqwest::Result<ClientBuilder> {
    let mut client = client.no_proxy();
    if let Some(ca) = &tls.ca {
        client = client.tls_certs_only(Certificate::from_pem_bundle(ca.text.reveal().as_bytes())?);
    } else if address.starts_with("http:") {
        // A machine without CA certificates can still speak plain HTTP.
        client = client.tls_certs_only([]);
    }
    if let Some((certificate, key)) = &tls.client {
        let pem = zeroize::Zeroizing::new(format!("{}\n{}", certificate.text.reveal(), key.text.reveal()));
        client = client.identity(Identity::from_pem(pem.as_bytes())?);
    }
    Ok(client)
}

/// Why a TLS handshake failed, as far as it can be put right here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The server's certificate is of a CA that we do not trust.
    UnknownAuthority,
    /// The server's certificate is over, or not valid yet.
    Expired,
    /// The server's certificate is for another name.
    OtherName,
    /// The server wants a client certificate, or does not take ours.
    ClientCertificate,
    /// Something else of TLS.
    Other,
}

impl TlsFault {
    /// The TLS fault behind a failed call, if it is one.
    pub(super) fn behind(error: &reqwest::Error) -> Option<Self> {
        let mut source: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = source {
            if let Some(fault) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of(fault));
            }
            // An I/O error hides what it carries from its chain of sources.
            let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if let Some(fault) = carried.and_then(|carried| carried.downcast_ref::<rustls::Error>()) {
                return Some(Self::of(fault));
            }
            source = match carried {
                Some(carried) => Some(carried),
                None => error.source(),
            };
        }
        None
    }

    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::UnknownAuthority,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::OtherName,
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => Self::ClientCertificate,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority => {
                "its certificate is of an authority that is not trusted; give the bank's CA as ca_file"
            }
            Self::Expired => "its certificate has expired or is not valid yet; renew it there, and check both clocks",
            Self::OtherName => "its certificate is for another host; address it by the name in the certificate",
            Self::ClientCertificate => {
                "it wants another client certificate; give client_cert_file and client_key_file of a CA that it trusts"
            }
            Self::Other => "the TLS handshake failed; does it speak TLS 1.2 or 1.3 on this port?",
        })
    }
}
