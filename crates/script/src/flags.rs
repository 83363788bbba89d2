//! What a script declares about itself: the flags of its first line (`#!lua flags=no-writes`) or of a function.

use resp::args;

/// The flags of a script or function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It writes nothing.
    pub const NO_WRITES: ScriptFlags = ScriptFlags(1);
    /// It may run beyond `maxmemory`.
    pub const ALLOW_OOM: ScriptFlags = ScriptFlags(2);
    /// It may run on a replica that lost its master and shows no data then.
    pub const ALLOW_STALE: ScriptFlags = ScriptFlags(4);
    /// It cannot run on a cluster.
    pub const NO_CLUSTER: ScriptFlags = ScriptFlags(8);
    /// It may use keys of several slots.
    pub const ALLOW_CROSS_SLOT: ScriptFlags = ScriptFlags(16);
    /// A script without a first line that declares: nothing is known, and its commands are judged one by one.
    pub const UNDECLARED: ScriptFlags = ScriptFlags(32);

    /// The flags that can be declared, in the order in which they are listed.
    pub const NAMES: [(&'static str, ScriptFlags); 5] = [
        ("no-writes", ScriptFlags::NO_WRITES),
        ("allow-oom", ScriptFlags::ALLOW_OOM),
        ("allow-stale", ScriptFlags::ALLOW_STALE),
        ("no-cluster", ScriptFlags::NO_CLUSTER),
        ("allow-cross-slot-keys", ScriptFlags::ALLOW_CROSS_SLOT),
    ];

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn has(self, other: ScriptFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of both.
    #[must_use]
    pub const fn with(self, other: ScriptFlags) -> Self {
        ScriptFlags(self.0 | other.0)
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ScriptFlags::NAMES
            .into_iter()
            .filter(move |(_, flag)| self.has(*flag))
            .map(|(name, _)| name)
    }

    /// What the first line of a script declares; none where it is not understood.
    #[must_use]
    pub fn declared(source: &[u8]) -> Option<ScriptFlags> {
        Some(of_script(source).ok()?.flags)
    }

    pub(crate) fn named(name: &[u8]) -> Option<ScriptFlags> {
        ScriptFlags::NAMES
            .into_iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map(|(_, flag)| flag)
    }
}

/// The first line of a script, and the code without it. Its line end stays, so that lines count from it.
pub(crate) struct Declared<'a> {
    pub(crate) flags: ScriptFlags,
    pub(crate) code: &'a [u8],
}

/// Reads the first line of a script for `EVAL`. The error is for the client, after `ERR`.
pub(crate) fn of_script(source: &[u8]) -> Result<Declared<'_>, Vec<u8>> {
    if !source.starts_with(b"#!") {
        return Ok(Declared {
            flags: ScriptFlags::UNDECLARED,
            code: source,
        });
    }
    let line = first_line(source).ok_or_else(|| b"Invalid script shebang".to_vec())?;
    let words = args::split(line).unwrap_or_default();
    let Some((engine, options)) = words.split_first().filter(|(engine, _)| engine.len() >= 2)
    else {
        return Err(b"Invalid engine in script shebang".to_vec());
    };
    let mut flags = ScriptFlags::default();
    for option in options {
        let Some(names) = option.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", &option[..]].concat());
        };
        for name in names.split(|byte| *byte == b',') {
            if names.is_empty() {
                continue;
            }
            let flag = ScriptFlags::named(name)
                .ok_or_else(|| [b"Unexpected flag in script shebang: ", name].concat())?;
            flags = flags.with(flag);
        }
    }
    if !engine[2..].eq_ignore_ascii_case(b"lua") {
        return Err([b"Could not find scripting engine '", &engine[2..], b"'"].concat());
    }
    Ok(Declared {
        flags,
        code: &source[line.len()..],
    })
}

/// The name of a library, from its first line, and the code without it. The error is for the client, after `ERR`.
pub(crate) fn of_library(source: &[u8]) -> Result<(Vec<u8>, &[u8]), Vec<u8>> {
    if !source.starts_with(b"#!") {
        return Err(b"Missing library metadata".to_vec());
    }
    let invalid = || b"Invalid library metadata".to_vec();
    let line = first_line(source).ok_or_else(invalid)?;
    let words = args::split(line).ok_or_else(invalid)?;
    let (engine, options) = words.split_first().ok_or_else(invalid)?;
    let mut name = None;
    for option in options {
        match option.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case(b"name=") => {
                if name.replace(value.to_vec()).is_some() {
                    let text = "Invalid metadata value, name argument was given multiple times";
                    return Err(text.into());
                }
            }
            _ => return Err([b"Invalid metadata value given: ", &option[..]].concat()),
        }
    }
    let name = name.ok_or_else(|| b"Library name was not given".to_vec())?;
    if !is_name(&name) {
        let text = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
        return Err(text.into());
    }
    let engine = engine.get(2..).unwrap_or_default();
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err([b"Engine '", engine, b"' not found"].concat());
    }
    Ok((name, &source[line.len()..]))
}

/// Whether this can be the name of a library or of a function.
pub(crate) fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn first_line(source: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b'\n', source).map(|end| &source[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(source: &str) -> Result<(ScriptFlags, &[u8]), String> {
        of_script(source.as_bytes())
            .map(|declared| (declared.flags, declared.code))
            .map_err(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_first_line_of_a_script_declares_flags() {
        assert_eq!(
            script("return 1"),
            Ok((ScriptFlags::UNDECLARED, &b"return 1"[..]))
        );
        assert_eq!(
            script("#!lua\nx"),
            Ok((ScriptFlags::default(), &b"\nx"[..]))
        );
        assert_eq!(
            script("#!LUA flags=\nx"),
            Ok((ScriptFlags::default(), &b"\nx"[..]))
        );
        let both = ScriptFlags::NO_WRITES.with(ScriptFlags::ALLOW_STALE);
        assert_eq!(
            script("#!lua flags=no-writes,allow-stale\nx"),
            Ok((both, &b"\nx"[..]))
        );
        assert_eq!(
            both.names().collect::<Vec<_>>(),
            ["no-writes", "allow-stale"]
        );
        for (source, complaint) in [
            ("#!lua", "Invalid script shebang"),
            ("#!\"lua\n", "Invalid engine in script shebang"),
            ("#!js\nx", "Could not find scripting engine 'js'"),
            ("#!lua a=b\nx", "Unknown lua shebang option: a=b"),
            (
                "#!lua flags=what\nx",
                "Unexpected flag in script shebang: what",
            ),
        ] {
            assert_eq!(script(source), Err(complaint.to_owned()), "{source}");
        }
    }

    #[test]
    fn the_first_line_of_a_library_names_it() {
        assert_eq!(
            of_library(b"#!LUA NAME=\"a_1\"\ncode"),
            Ok((b"a_1".to_vec(), &b"\ncode"[..]))
        );
        for (source, complaint) in [
            ("code", "Missing library metadata"),
            ("#!lua name=a", "Invalid library metadata"),
            ("#!lua name=\"a\nb", "Invalid library metadata"),
            ("#!lua\n", "Library name was not given"),
            ("#!lua foo=bar\n", "Invalid metadata value given: foo=bar"),
            ("#!js name=a\n", "Engine 'js' not found"),
            ("#! name=a\n", "Engine '' not found"),
        ] {
            let error = of_library(source.as_bytes()).unwrap_err();
            assert_eq!(String::from_utf8_lossy(&error), complaint, "{source}");
        }
        for name in ["", "a-b", "é", "a\0b"] {
            let source = format!("#!lua name={name}\nx");
            let error = of_library(source.as_bytes()).unwrap_err();
            assert!(error.starts_with(b"Library names"), "{name:?}");
        }
    }
}
