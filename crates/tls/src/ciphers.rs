//! Lists of cipher suites and versions, as OpenSSL writes them.

use rustls::crypto::ring::cipher_suite as ring;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::{Error, Settings};

/// The suites of TLS 1.2 that are offered, best first, by OpenSSL's names and their traits.
const SUITES: [(&str, &[&str], SupportedCipherSuite); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "aECDSA", "AESGCM", "AES", "AES256", "SHA384"],
        ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["aRSA", "AESGCM", "AES", "AES256", "SHA384"],
        ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "aECDSA", "CHACHA20", "SHA256"],
        ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        &["aRSA", "CHACHA20", "SHA256"],
        ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "aECDSA", "AESGCM", "AES", "AES128", "SHA256"],
        ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["aRSA", "AESGCM", "AES", "AES128", "SHA256"],
        ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
];

/// What is true of all of them.
const COMMON: [&str; 10] = [
    "ALL",
    "DEFAULT",
    "COMPLEMENTOFDEFAULT",
    "HIGH",
    "ECDHE",
    "EECDH",
    "kECDHE",
    "kEECDH",
    "TLSv1.2",
    "FIPS",
];

/// The suites of TLS 1.3, best first.
const SUITES_13: [(&str, SupportedCipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", ring::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        ring::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_AES_128_GCM_SHA256", ring::TLS13_AES_128_GCM_SHA256),
];

/// The suites that are offered, those of TLS 1.3 first.
pub(crate) fn suites(settings: &Settings) -> Result<Vec<SupportedCipherSuite>, Error> {
    let mut suites = match &settings.ciphersuites {
        Some(list) => suites_13(list)?,
        None => SUITES_13.iter().map(|(_, suite)| *suite).collect(),
    };
    match &settings.ciphers {
        Some(list) => suites.extend(suites_12(list)?),
        None => suites.extend(SUITES.iter().map(|(.., suite)| *suite)),
    }
    Ok(suites)
}

/// The suites of a list of names.
fn suites_13(list: &str) -> Result<Vec<SupportedCipherSuite>, Error> {
    let mut suites = Vec::new();
    for name in list.split(':').filter(|name| !name.is_empty()) {
        let known = SUITES_13
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        let Some((_, suite)) = known else {
            return Err(Error::Ciphers {
                directive: "ciphersuites",
                list: list.to_owned(),
                reason: format!(
                    "{name} is not offered; there are {}",
                    SUITES_13.map(|(name, _)| name).join(", ")
                ),
            });
        };
        suites.push(*suite);
    }
    Ok(suites)
}

/// The suites of one of OpenSSL's lists: names and groups of them, added, put last (`+`), taken away (`-`), or for good (`!`).
fn suites_12(list: &str) -> Result<Vec<SupportedCipherSuite>, Error> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut banned = [false; SUITES.len()];
    let mut strange = Vec::new();
    let words = list.split([':', ',', ' ']).filter(|word| !word.is_empty());
    for word in words.filter(|word| !word.starts_with('@')) {
        let (what, name) = match word.split_at(1) {
            (what @ ("!" | "-" | "+"), name) => (what, name),
            _ => ("", word),
        };
        let meant: Vec<usize> = (0..SUITES.len())
            .filter(|index| name.split('+').all(|group| is_in(*index, group)))
            .collect();
        match what {
            "" => {
                if meant.is_empty() {
                    strange.push(name);
                }
                for index in meant {
                    if !banned[index] && !chosen.contains(&index) {
                        chosen.push(index);
                    }
                }
            }
            "+" => {
                let (last, first) = chosen.iter().partition(|index| meant.contains(index));
                chosen = first;
                chosen.extend::<Vec<usize>>(last);
            }
            _ => {
                chosen.retain(|index| !meant.contains(index));
                for index in meant {
                    banned[index] |= what == "!";
                }
            }
        }
    }
    if chosen.is_empty() {
        let names = SUITES.map(|(name, ..)| name).join(", ");
        return Err(Error::Ciphers {
            directive: "ciphers",
            list: list.to_owned(),
            reason: match strange.is_empty() {
                true => "nothing is left".to_owned(),
                false => format!("{} is not offered; there are {names}", strange.join(", ")),
            },
        });
    }
    Ok(chosen.into_iter().map(|index| SUITES[index].2).collect())
}

fn is_in(index: usize, group: &str) -> bool {
    let (name, groups, _) = SUITES[index];
    name == group || groups.contains(&group) || COMMON.contains(&group)
}

/// The versions that are spoken.
pub(crate) fn versions(
    list: Option<&str>,
) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
    let Some(list) = list else {
        return Ok(rustls::ALL_VERSIONS.to_vec());
    };
    list.split(' ')
        .filter(|name| !name.is_empty())
        .map(|name| match name.to_ascii_lowercase().as_str() {
            "tlsv1.2" => Ok(&rustls::version::TLS12),
            "tlsv1.3" => Ok(&rustls::version::TLS13),
            _ => Err(Error::Protocol {
                name: name.to_owned(),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<&'static str> {
        let suites = suites_12(list).unwrap();
        let name = |suite: &SupportedCipherSuite| {
            SUITES.iter().find(|(.., known)| known == suite).unwrap().0
        };
        suites.iter().map(name).collect()
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        assert_eq!(names("DEFAULT").len(), 6);
        assert_eq!(
            names("DEFAULT:-AES128-SHA256").len(),
            6,
            "not offered anyway"
        );
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(
            names("ECDHE+AESGCM:!aECDSA"),
            ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]
        );
        assert_eq!(
            names("HIGH:!ECDSA:+AES256").last(),
            Some(&"ECDHE-RSA-AES256-GCM-SHA384")
        );
        assert_eq!(names("!CHACHA20:ALL:@STRENGTH").len(), 4);
    }

    #[test]
    fn what_is_not_offered_is_refused_by_name() {
        let error = suites_12("AES128-SHA256:DHE-RSA-AES256-SHA").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("AES128-SHA256, DHE-RSA-AES256-SHA is not offered"),
            "{text}"
        );
        let error = suites_13("TLS_AES_128_CCM_SHA256").unwrap_err().to_string();
        assert!(
            error.contains("TLS_AES_128_CCM_SHA256 is not offered"),
            "{error}"
        );
        assert_eq!(suites_13("TLS_AES_128_GCM_SHA256").unwrap().len(), 1);
        let error = versions(Some("TLSv1.1 TLSv1.2")).unwrap_err().to_string();
        assert!(error.contains("'TLSv1.1'"), "{error}");
        assert_eq!(
            versions(Some("tlsv1.2")).unwrap(),
            [&rustls::version::TLS12]
        );
        assert_eq!(versions(None).unwrap().len(), 2);
    }
}
