//! Certificates and keys in files of PEM.

use std::path::Path;

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Error, Identity};

/// The certificate in a file, and those behind it.
pub(crate) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |reason| Error::Certificate {
        path: path.to_owned(),
        reason,
    };
    let all = certificates(path).map_err(wrong)?;
    if all.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(all)
}

/// All certificates in a file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| reason(&error))?;
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| said(&error))
}

/// The key of an identity.
pub(crate) fn key(identity: &Identity) -> Result<PrivateKeyDer<'static>, Error> {
    if identity.key.as_os_str().is_empty() {
        return Err(Error::NoKey);
    }
    let text = std::fs::read(&identity.key).map_err(|error| reason(&error));
    text.and_then(|text| key_of(&text, identity.pass.as_deref()))
        .map_err(|reason| Error::Key {
            path: identity.key.clone(),
            reason,
        })
}

fn key_of(text: &[u8], pass: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, String> {
    let has = |word: &str| text.windows(word.len()).any(|at| at == word.as_bytes());
    if has("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "it is encrypted in OpenSSL's own old way; write it anew with 'openssl pkcs8 -topk8'"
                .to_owned(),
        );
    }
    if has("BEGIN ENCRYPTED PRIVATE KEY") {
        let pass = pass.ok_or("it is encrypted, and there is no password for it")?;
        return decrypted(text, pass);
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) => Err("there is no private key in it".to_owned()),
        Err(error) => Err(said(&error)),
    }
}

fn decrypted(text: &[u8], pass: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text")?;
    let begin = text.find("-----BEGIN ENCRYPTED").unwrap_or_default();
    let (_, document): (_, SecretDocument) =
        SecretDocument::from_pem(text[begin..].trim_end()).map_err(|error| error.to_string())?;
    let encrypted =
        EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|e| e.to_string())?;
    let plain = encrypted
        .decrypt(pass)
        .map_err(|_| "the password does not fit, or its encryption is not known")?;
    Ok(PrivatePkcs8KeyDer::from(plain.as_bytes().to_vec()).into())
}

/// The certificates in all files of a folder; what is none is passed over.
pub(crate) fn folder(path: &Path) -> std::io::Result<Vec<CertificateDer<'static>>> {
    let mut files: Vec<_> = std::fs::read_dir(path)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let hidden = path
                .file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            !hidden && path.is_file()
        })
        .collect();
    files.sort();
    let mut all: Vec<CertificateDer<'static>> = Vec::new();
    for file in files {
        for cert in certificates(&file).unwrap_or_default() {
            // OpenSSL's links by hash lead to the same files.
            if !all.contains(&cert) {
                all.push(cert);
            }
        }
    }
    Ok(all)
}

/// What the system said, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

fn said(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => reason(error),
        error => format!("it is no PEM: {error:?}"),
    }
}
