//! PEM files of TLS connections, read and checked when the configuration is.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::section::Section;
use crate::domain::secret::Secret;

/// Largest PEM file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How a TLS connection to the bank's systems is checked, and how we show who we are.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The bank's own certification authority (`ca_file`): then only its certificates are trusted. `None`: those that
    /// the machine trusts.
    pub ca: Option<PemFile>,
    /// The certificate that we show (`client_cert_file`, the chain, our own certificate first), and its key
    /// (`client_key_file`).
    pub client: Option<(PemFile, PemFile)>,
}

/// A PEM file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its text.
    pub text: Secret,
}

impl Tls {
    /// Reads `ca_file`, `client_cert_file` and `client_key_file` of a section. `None`: faulty, and told.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let given = ["ca_file", "client_cert_file", "client_key_file"].map(|key| section.has(key));
        let ca = section.optional("ca_file", authority);
        let key_place = section.place_of("client_key_file");
        let certificate = section.optional("client_cert_file", certificates);
        let key = section.optional("client_key_file", private_key);
        let read = [ca.is_some(), certificate.is_some(), key.is_some()];
        if given[1] != given[2] {
            section.fault_here("`client_cert_file` and `client_key_file` are given together or not at all");
            return None;
        }
        if given != read {
            return None;
        }
        let client = certificate.zip(key);
        if let Some(why) = client.as_ref().and_then(|(certificate, key)| mismatch(certificate, key)) {
            section.fault_at(key_place.as_ref(), "client_key_file", &why);
            return None;
        }
        Some(Self { ca, client })
    }
}

fn authority(path: &str) -> Result<PemFile, String> {
    let file = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in chain(&file)? {
        roots.add(certificate).map_err(|error| format!("holds no usable certificate: {path}: {error}"))?;
    }
    Ok(file)
}

fn certificates(path: &str) -> Result<PemFile, String> {
    let file = read(path)?;
    if chain(&file)?.is_empty() {
        return Err(format!("holds no certificate (-----BEGIN CERTIFICATE-----): {path}"));
    }
    Ok(file)
}

fn private_key(path: &str) -> Result<PemFile, String> {
    let file = read(path)?;
    match PrivateKeyDer::from_pem_slice(file.text.reveal().as_bytes()) {
        Ok(_) => Ok(file),
        Err(_) if file.text.reveal().contains("ENCRYPTED") => Err(format!(
            "is protected by a pass phrase: {path}; write it without: openssl pkey -in {path} -out FILE"
        )),
        Err(_) => Err(format!("holds no private key (-----BEGIN PRIVATE KEY-----): {path}")),
    }
}

fn mismatch(certificate: &PemFile, key: &PemFile) -> Option<String> {
    let chain = chain(certificate).ok()?;
    let private = PrivateKeyDer::from_pem_slice(key.text.reveal().as_bytes()).ok()?;
    let error = CertifiedKey::from_der(chain, private, &default_provider()).err()?;
    let certificate = certificate.path.display();
    Some(format!("does not belong to the first certificate of client_cert_file ({certificate}): {error}"))
}

fn chain(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(file.text.reveal().as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("is not PEM: {}: {error}", file.path.display()))
}

fn read(path: &str) -> Result<PemFile, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("cannot be read: {path}: {error}");
    let size_bytes = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if size_bytes > FILE_BYTES_MAX {
        return Err(format!("is too large for a PEM file: {path} has {size_bytes} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => format!("is not PEM: {path} is not text; is it DER? convert it"),
        _ => unreadable(&error),
    })?;
    Ok(PemFile { path: Path::new(path).to_owned(), text: Secret::new(text) })
}
