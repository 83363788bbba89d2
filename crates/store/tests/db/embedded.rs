//! Which strings are told as `embstr`.

use store::{Clock, Db, Encoding, StrNew};

/// An expiry takes eight bytes of those that key and value may have together.
#[test]
fn a_string_is_embedded_as_long_as_key_value_and_expiry_fit_two_cache_lines() {
    let clock = Clock::new();
    clock.set_unix_ms(1000);
    let mut db = Db::new(clock, false);
    for (len, plain, timed) in [
        (104, Encoding::Embstr, Encoding::Embstr),
        (105, Encoding::Embstr, Encoding::Raw),
        (112, Encoding::Embstr, Encoding::Raw),
        (113, Encoding::Raw, Encoding::Raw),
    ] {
        let value = vec![b'x'; len];
        db.set_str(b"a", StrNew::encode(&value));
        db.set_str_until(b"b", StrNew::encode(&value), Some(5000));
        assert_eq!(db.encoding(b"a"), Some(plain), "{len}");
        assert_eq!(db.encoding(b"b"), Some(timed), "{len}");
        db.set_expire_ms(b"a", Some(5000));
        assert_eq!(db.encoding(b"a"), Some(timed), "{len}");
    }
}
