//! A binary trie over addresses: the longest prefix wins.

/// A missing child: the index of the root, which is never a child.
const NONE: u32 = 0;

/// Values by prefix. Keys are 128 bits; shorter addresses occupy the top bits.
#[derive(Clone, Debug)]
pub struct Trie<V> {
    /// The root is the first node.
    nodes: Vec<Node<V>>,
}

#[derive(Clone, Debug)]
struct Node<V> {
    children: [u32; 2],
    value: Option<V>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { nodes: vec![Node { children: [NONE; 2], value: None }] }
    }
}

impl<V> Trie<V> {
    /// Sets the value of a prefix and returns the old one.
    pub fn insert(&mut self, key: u128, prefix: u8, value: V) -> Option<V> {
        let mut at = 0;
        for depth in 0..prefix.min(128) {
            let side = bit(key, depth);
            let mut next = self.nodes[at].children[side];
            if next == NONE {
                next = u32::try_from(self.nodes.len()).unwrap_or(NONE);
                self.nodes.push(Node { children: [NONE; 2], value: None });
                self.nodes[at].children[side] = next;
            }
            at = next as usize;
        }
        self.nodes[at].value.replace(value)
    }

    /// Removes the value of a prefix. False if it had none.
    pub fn remove(&mut self, key: u128, prefix: u8) -> bool {
        let mut at = 0;
        for depth in 0..prefix.min(128) {
            match self.nodes[at].children[bit(key, depth)] {
                NONE => return false,
                next => at = next as usize,
            }
        }
        self.nodes[at].value.take().is_some()
    }

    /// The value of the longest matching prefix.
    pub fn find(&self, key: u128) -> Option<&V> {
        let mut best = self.nodes[0].value.as_ref();
        let mut at = 0;
        for depth in 0..128 {
            match self.nodes[at].children[bit(key, depth)] {
                NONE => break,
                next => at = next as usize,
            }
            best = self.nodes[at].value.as_ref().or(best);
        }
        best
    }
}

fn bit(key: u128, depth: u8) -> usize {
    usize::from(key >> (127 - depth) & 1 == 1)
}
