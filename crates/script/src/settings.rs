//! What an interpreter is told when it is made.

/// Bounds on what scripts may take, and what they are told about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The most that the Lua state may hold, in bytes. Beyond it a script gets the error `not enough memory`.
    pub memory_bytes: usize,
    /// The longest reply of a script, in bytes.
    pub reply_bytes: usize,
    /// Where `math.random` begins.
    pub seed: i32,
    /// `lua-enable-insecure-api`: scripts get `getfenv` and `setfenv`, and can change what others find.
    pub insecure: bool,
    /// What the server is called: `server.SERVER_NAME`.
    pub name: &'static str,
    /// The version of Redis that it stands for: `server.REDIS_VERSION`.
    pub redis_version: &'static str,
    /// The version of Valkey that it stands for: `server.VALKEY_VERSION`.
    pub valkey_version: &'static str,
}

impl Default for Settings {
    /// 1 GiB for the state, 512 MiB for a reply.
    fn default() -> Self {
        Settings {
            memory_bytes: 1 << 30,
            reply_bytes: 1 << 29,
            seed: 0,
            insecure: false,
            name: "valkey",
            redis_version: resp::REDIS_VERSION,
            valkey_version: "9.1.2",
        }
    }
}

/// `major.minor.patch` as one number, a byte for each.
pub(crate) fn version_number(version: &str) -> u32 {
    version
        .split('.')
        .chain(std::iter::repeat("0"))
        .take(3)
        .fold(0, |number, part| {
            number << 8 | u32::from(part.parse::<u8>().unwrap_or(0))
        })
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_are_one_byte_for_each_part() {
        assert_eq!(version_number("7.2.4"), 0x07_02_04);
        assert_eq!(version_number("9.1"), 0x09_01_00);
        assert_eq!(version_number(""), 0);
    }
}
