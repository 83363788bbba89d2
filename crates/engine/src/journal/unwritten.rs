//! What is to be written to the append-only file, in blocks: a piece of memory that grows is copied each time it does, and this one may
//! gather hundreds of megabytes while a disk is slow.

/// A block that has so many bytes gets no more.
const BLOCK_BYTES: usize = 1024 * 1024;
/// A block that grew beyond this is given back.
const KEPT_BYTES: usize = 64 * 1024;

/// What is to be written, in order.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    full: Vec<Vec<u8>>,
    full_bytes: usize,
    last: Vec<u8>,
}

impl Unwritten {
    pub(crate) fn len(&self) -> usize {
        self.full_bytes + self.last.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the next bytes go.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.last.len() >= BLOCK_BYTES {
            self.full_bytes += self.last.len();
            self.full.push(std::mem::take(&mut self.last));
        }
        &mut self.last
    }

    /// All, in order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.full.iter().chain([&self.last]);
        all.map(|block| &block[..])
    }

    /// Takes all out.
    pub(crate) fn take(&mut self) -> Vec<Vec<u8>> {
        let mut blocks = std::mem::take(&mut self.full);
        blocks.push(std::mem::take(&mut self.last));
        self.full_bytes = 0;
        blocks
    }

    /// Puts blocks back before all others.
    pub(crate) fn put_back(&mut self, blocks: &[Vec<u8>]) {
        self.full_bytes += blocks.iter().map(Vec::len).sum::<usize>();
        self.full.splice(..0, blocks.iter().cloned());
    }

    /// Forgets so many bytes from the beginning.
    pub(crate) fn drop_first(&mut self, mut bytes: usize) {
        let whole = |block: &&Vec<u8>| {
            let fits = block.len() <= bytes;
            bytes -= if fits { block.len() } else { 0 };
            fits
        };
        let gone = self.full.iter().take_while(whole).count();
        self.full.drain(..gone);
        let first = self.full.first_mut().unwrap_or(&mut self.last);
        first.drain(..bytes.min(first.len()));
        self.full_bytes = self.full.iter().map(Vec::len).sum();
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.full.clear();
        self.full_bytes = 0;
        self.last.clear();
        if self.last.capacity() > KEPT_BYTES {
            self.last = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered() -> Unwritten {
        let mut all = Unwritten::default();
        for letter in b'a'..=b'e' {
            all.end().extend(vec![letter; BLOCK_BYTES / 2]);
        }
        all
    }

    fn text(all: &Unwritten) -> Vec<u8> {
        all.blocks().collect::<Vec<_>>().concat()
    }

    #[test]
    fn what_is_gathered_comes_out_in_order() {
        let mut all = gathered();
        let whole = text(&all);
        assert_eq!((all.len(), whole.len()), (5 * BLOCK_BYTES / 2, all.len()));
        assert!(whole.is_sorted());
        let blocks = all.take();
        assert!(all.is_empty() && blocks.len() == 3, "{}", blocks.len());
        all.end().extend(b"f");
        all.put_back(&blocks);
        assert_eq!(text(&all), [&whole[..], b"f"].concat());
        assert_eq!(all.len(), whole.len() + 1);
        all.clear();
        assert!(all.is_empty());
    }

    #[test]
    fn so_much_is_dropped_as_was_written() {
        let whole = text(&gathered());
        for bytes in [
            0,
            1,
            BLOCK_BYTES,
            BLOCK_BYTES + 7,
            2 * BLOCK_BYTES,
            whole.len(),
        ] {
            let mut all = gathered();
            all.drop_first(bytes);
            assert_eq!(
                (text(&all).len(), all.len()),
                (whole.len() - bytes, whole.len() - bytes)
            );
            assert_eq!(text(&all), &whole[bytes..], "{bytes}");
        }
    }
}
