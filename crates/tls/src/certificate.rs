//! What a certificate says.

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// Which certificate it is, and until when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its end, Unix seconds.
    pub not_after: u64,
}

impl Summary {
    pub(crate) fn of(cert: &CertificateDer<'_>) -> Option<Self> {
        let cert = Certificate::from_der(cert).ok()?.tbs_certificate;
        let digits = cert.serial_number.as_bytes();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = &digits[zeros.min(digits.len().saturating_sub(1))..];
        Some(Self {
            serial: digits.iter().map(|digit| format!("{digit:02X}")).collect(),
            not_after: cert.validity.not_after.to_unix_duration().as_secs(),
        })
    }
}

/// Whether a certificate has begun and has not ended.
pub(crate) fn counts_at(cert: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(cert) = Certificate::from_der(cert) else {
        return false;
    };
    let validity = cert.tbs_certificate.validity;
    let (begin, end) = (validity.not_before, validity.not_after);
    (begin.to_unix_duration().as_secs()..=end.to_unix_duration().as_secs()).contains(&now.as_secs())
}

/// The certificates of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Shown to those that connect.
    pub server: Option<Summary>,
    /// Shown to those that we connect to, where it is another one.
    pub client: Option<Summary>,
    /// Of those that are trusted, the one that ends first.
    pub ca: Option<Summary>,
}

/// Whom a certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The subject's first common name.
    pub common_name: Option<Vec<u8>>,
    /// The alternative names that are URIs, in their order.
    pub uris: Vec<Vec<u8>>,
}

impl Names {
    pub(crate) fn of(cert: &CertificateDer<'_>) -> Option<Self> {
        let cert = Certificate::from_der(cert).ok()?.tbs_certificate;
        let common_name = cert
            .subject
            .0
            .iter()
            .flat_map(|part| part.0.iter())
            .find(|attribute| attribute.oid == COMMON_NAME)
            .map(|attribute| attribute.value.value().to_vec())
            .filter(|name| !name.is_empty());
        let alternative = cert
            .extensions
            .iter()
            .flatten()
            .find(|extension| extension.extn_id == SUBJECT_ALT_NAME)
            .and_then(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok());
        let uris = alternative
            .iter()
            .flat_map(|names| &names.0)
            .filter_map(|name| match name {
                GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_bytes().to_vec()),
                _ => None,
            })
            .filter(|uri| !uri.is_empty() && !uri.contains(&0))
            .collect();
        Some(Self { common_name, uris })
    }
}

/// The key that a certificate speaks for.
pub(crate) fn public_key(cert: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    Certificate::from_der(cert)
        .and_then(|cert| cert.tbs_certificate.subject_public_key_info.to_der())
        .map_err(|error| format!("it is no certificate: {error}"))
}
