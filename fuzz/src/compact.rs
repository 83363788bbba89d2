//! The compact forms of Redis, written entry by entry: also in wider forms than Redis would choose, which a reader must take.

/// An element, and how wide it is written.
#[derive(Clone, Debug)]
pub struct Element {
    /// Its bytes.
    pub text: Vec<u8>,
    /// Its value where it is to be written as an integer.
    pub int: Option<i64>,
    /// How much wider than necessary, 0 to 3.
    pub wide: u8,
}

/// Overwrites the length in a header by the true one: all but intsets and zipmaps begin with it.
pub fn mend(code: u8, blob: &mut [u8]) {
    if matches!(code, 9 | 11) {
        return;
    }
    let len = u32::try_from(blob.len()).expect("an input is short");
    if let Some(field) = blob.first_chunk_mut() {
        *field = len.to_le_bytes();
    }
}

/// `bytes:u32 tail:u32 count:u16 entry* 0xff`
pub fn ziplist(elements: &[Element]) -> Vec<u8> {
    let mut blob = vec![0; 10];
    let mut last = 10;
    for element in elements {
        let at = blob.len();
        let previous = u32::try_from(at - last).expect("an input is short");
        match u8::try_from(previous) {
            Ok(short) if short < 254 => blob.push(short),
            _ => {
                blob.push(254);
                blob.extend(previous.to_le_bytes());
            }
        }
        last = at;
        ziplist_entry(element, &mut blob);
    }
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    let tail = u32::try_from(last).expect("an input is short");
    blob[4..8].copy_from_slice(&tail.to_le_bytes());
    blob[8..10].copy_from_slice(&count.to_le_bytes());
    blob.push(255);
    mend(10, &mut blob);
    blob
}

fn ziplist_entry(element: &Element, blob: &mut Vec<u8>) {
    if let Some(value) = element.int {
        let small = u8::try_from(value)
            .ok()
            .filter(|small| *small <= 12 && element.wide == 0);
        if let Some(small) = small {
            return blob.push(0xf1 + small);
        }
        let (width, header) = [(1, 0xfe), (2, 0xc0), (3, 0xf0), (4, 0xd0), (8, 0xe0)]
            .into_iter()
            .filter(|(width, _)| fits(value, *width))
            .nth(usize::from(element.wide / 2))
            .unwrap_or((8, 0xe0));
        blob.push(header);
        blob.extend_from_slice(&value.to_le_bytes()[..width]);
        return;
    }
    let len = u32::try_from(element.text.len()).expect("an input is short");
    let [.., high, low] = len.to_be_bytes();
    match (len, element.wide) {
        (0..=63, 0) => blob.push(low),
        (0..=16383, 0 | 1) => blob.extend([0x40 | high, low]),
        _ => {
            blob.push(0x80);
            blob.extend(len.to_be_bytes());
        }
    }
    blob.extend_from_slice(&element.text);
}

/// `bytes:u32 count:u16 entry* 0xff`
pub fn listpack(elements: &[Element]) -> Vec<u8> {
    let mut blob = vec![0; 6];
    for element in elements {
        let at = blob.len();
        listpack_entry(element, &mut blob);
        let len = blob.len() - at;
        // Seven bits a byte, the highest first, all but the first marked.
        let size = (1..5)
            .find(|size| len < (1 << (7 * size)) - usize::from(*size > 1))
            .unwrap_or(5);
        for index in (0..size).rev() {
            let bits = u8::try_from(len >> (7 * index) & 127).expect("seven bits");
            blob.push(if index + 1 == size { bits } else { bits | 128 });
        }
    }
    let count = u16::try_from(elements.len()).unwrap_or(u16::MAX);
    blob[4..6].copy_from_slice(&count.to_le_bytes());
    blob.push(255);
    mend(16, &mut blob);
    blob
}

fn listpack_entry(element: &Element, blob: &mut Vec<u8>) {
    if let Some(value) = element.int {
        if let Some(small) = u8::try_from(value)
            .ok()
            .filter(|small| *small < 128 && element.wide == 0)
        {
            return blob.push(small);
        }
        if (-4096..4096).contains(&value) && element.wide < 2 {
            let [.., high, low] = (value & 0x1fff).to_be_bytes();
            return blob.extend([0xc0 | high, low]);
        }
        let (width, header) = [(2, 0xf1), (3, 0xf2), (4, 0xf3), (8, 0xf4)]
            .into_iter()
            .filter(|(width, _)| fits(value, *width))
            .nth(usize::from(element.wide / 3))
            .unwrap_or((8, 0xf4));
        blob.push(header);
        blob.extend_from_slice(&value.to_le_bytes()[..width]);
        return;
    }
    let len = u32::try_from(element.text.len()).expect("an input is short");
    let [.., high, low] = len.to_be_bytes();
    match (len, element.wide) {
        (0..=63, 0) => blob.push(0x80 | low),
        (0..=4095, 0 | 1) => blob.extend([0xe0 | high, low]),
        _ => {
            blob.push(0xf0);
            blob.extend(len.to_le_bytes());
        }
    }
    blob.extend_from_slice(&element.text);
}

/// `count:u8 (len field len free:u8 value unused{free})* 0xff`; one field has room behind its value for each step of width.
pub fn zipmap(elements: &[Element]) -> Vec<u8> {
    let mut blob = vec![u8::try_from(elements.len() / 2).unwrap_or(254).min(254)];
    let len_of = |element: &Element, blob: &mut Vec<u8>| match u8::try_from(element.text.len()) {
        Ok(short) if short < 254 => blob.push(short),
        _ => {
            blob.push(254);
            blob.extend(
                u32::try_from(element.text.len())
                    .expect("an input is short")
                    .to_le_bytes(),
            );
        }
    };
    for pair in elements.chunks_exact(2) {
        len_of(&pair[0], &mut blob);
        blob.extend_from_slice(&pair[0].text);
        len_of(&pair[1], &mut blob);
        blob.push(pair[1].wide);
        blob.extend_from_slice(&pair[1].text);
        blob.resize(blob.len() + usize::from(pair[1].wide), b'?');
    }
    blob.push(255);
    blob
}

/// `width:u32 count:u32 integer*`, of integers that rise.
pub fn intset(members: &[i64], wide: u8) -> Vec<u8> {
    let width = [2u8, 4, 8]
        .into_iter()
        .filter(|width| {
            members
                .iter()
                .all(|member| fits(*member, usize::from(*width)))
        })
        .nth(usize::from(wide / 2))
        .unwrap_or(8);
    let mut blob = vec![width, 0, 0, 0];
    blob.extend(
        u32::try_from(members.len())
            .expect("an input is short")
            .to_le_bytes(),
    );
    for member in members {
        blob.extend_from_slice(&member.to_le_bytes()[..usize::from(width)]);
    }
    blob
}

fn fits(value: i64, width: usize) -> bool {
    let unused = 64 - 8 * width;
    value << unused >> unused == value
}
