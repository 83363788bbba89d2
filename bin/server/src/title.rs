//! The process's title: what a list of processes shows in the place of the arguments, which may hold passwords.
#![expect(
    unsafe_code,
    reason = "the arguments are written over where the system put them"
)]

/// Where the arguments begin and end is in these fields of `/proc/self/stat`, counted behind the name in parentheses.
const ARGUMENTS: std::ops::Range<usize> = 45..47;

/// Puts a title, as much of it as there is room for, into the place of the arguments. Nobody may hold a reference into them; what
/// [`std::env::args_os`] answers changes too.
pub(crate) fn set(title: &str) {
    let Some((start, length)) = arguments() else {
        return;
    };
    let shown = title.len().min(length - 1);
    // SAFETY: the system has put the arguments there, in memory that this process may write to, and its end stays a zero byte. The
    // standard library copies from there when it is asked for arguments, and only the main thread, which is here, asks.
    unsafe {
        let place: *mut u8 = std::ptr::with_exposed_provenance_mut(start);
        place.write_bytes(0, length);
        place.copy_from_nonoverlapping(title.as_ptr(), shown);
    }
}

/// Where the arguments begin, and how many bytes they take.
fn arguments() -> Option<(usize, usize)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<usize> = fields
        .split_ascii_whitespace()
        .skip(ARGUMENTS.start)
        .take(ARGUMENTS.len())
        .map_while(|field| field.parse().ok())
        .collect();
    let &[start, end] = &fields[..] else {
        return None;
    };
    (start > 0 && start < end).then(|| (start, end - start))
}
