//! The values that clients write: each names its writer and is written once, so that it can be found wherever it is.

/// How long one is as text.
pub const BYTES: usize = 13;

/// A value: `#cc.ssssssss#`, the writer and its serial number.
#[must_use]
pub fn text(client: u64, serial: u64) -> String {
    format!("#{client:02}.{serial:08}#")
}

/// The same as a number: values of one writer are in the order in which they were written.
#[must_use]
pub fn number(client: u64, serial: u64) -> u64 {
    client << 32 | serial
}

/// All values in some bytes.
pub fn all_in(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.windows(BYTES).filter_map(parse)
}

/// What is a value.
#[must_use]
pub fn parse(text: &[u8]) -> Option<u64> {
    let inner = text.strip_prefix(b"#")?.strip_suffix(b"#")?;
    let (client, rest) = inner.split_at_checked(2)?;
    let serial = rest.strip_prefix(b".").filter(|serial| serial.len() == 8)?;
    Some(number(digits(client)?, digits(serial)?))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_a_file() {
        let file = format!(
            "*3\r\n$13\r\n{}\r\n$13\r\n{}\r\n#1.2#",
            text(3, 7),
            text(12, 0)
        );
        let found: Vec<u64> = all_in(file.as_bytes()).collect();
        assert_eq!(found, [number(3, 7), number(12, 0)]);
        assert_eq!(text(3, 7).len(), BYTES);
    }
}
