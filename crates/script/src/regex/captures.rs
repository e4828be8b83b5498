//! The captures of a match.

use smallvec::SmallVec;

/// The groups of one match, with the subject.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    subject: Vec<u8>,
    /// The whole match and the groups, as offsets into the subject.
    spans: SmallVec<[Option<(u32, u32)>; 10]>,
}

impl Captures {
    /// The `n`th group; 0 is the whole match.
    pub fn get(&self, n: usize) -> Option<&[u8]> {
        let (start, end) = (*self.spans.get(n)?)?;
        self.subject.get(start as usize..end as usize)
    }

    /// The number of spans, including the whole match.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no captures.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Removes the captures but keeps the buffers.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.subject.clear();
    }

    pub(super) fn set(
        &mut self,
        subject: &[u8],
        spans: impl Iterator<Item = Option<(usize, usize)>>,
    ) {
        self.clear();
        self.subject.extend_from_slice(subject);
        self.spans.extend(spans.map(|span| {
            let (start, end) = span?;
            Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
        }));
    }
}
