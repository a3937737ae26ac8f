//! The bytes of a disk, in pages that copies share until one of them is written to: the runs of a fault take thousands of copies.

use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

/// What lies on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    len: usize,
    pages: Vec<Arc<[u8; PAGE_BYTES]>>,
}

impl Image {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// What is new is zero.
    pub(crate) fn resize(&mut self, len: usize) {
        let kept = len.min(self.len);
        self.pages.truncate(len.div_ceil(PAGE_BYTES));
        self.len = len;
        if let Some(last) = self.pages.last_mut().filter(|_| !kept.is_multiple_of(PAGE_BYTES) && kept == len)
        {
            // What was cut off is not seen again.
            Arc::make_mut(last)[kept % PAGE_BYTES..].fill(0);
        }
        let zeros = Arc::new([0; PAGE_BYTES]);
        self.pages.resize(len.div_ceil(PAGE_BYTES), zeros);
    }

    /// Writes, and grows as far as that needs.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        if self.len < offset + data.len() {
            self.resize(offset + data.len());
        }
        let mut data = data;
        let mut at = offset;
        while !data.is_empty() {
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let (now, later) = data.split_at(data.len().min(PAGE_BYTES - within));
            Arc::make_mut(&mut self.pages[page])[within..within + now.len()].copy_from_slice(now);
            (data, at) = (later, at + now.len());
        }
    }

    /// Reads all of `out`, or says that it is not there.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) -> bool {
        if offset.checked_add(out.len()).is_none_or(|end| end > self.len) {
            return false;
        }
        let mut out = out;
        let mut at = offset;
        while !out.is_empty() {
            let (page, within) = (at / PAGE_BYTES, at % PAGE_BYTES);
            let (now, later) = out.split_at_mut(out.len().min(PAGE_BYTES - within));
            now.copy_from_slice(&self.pages[page][within..within + now.len()]);
            (out, at) = (later, at + now.len());
        }
        true
    }
}
