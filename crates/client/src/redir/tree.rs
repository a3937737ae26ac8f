//! The geometry of the tree: nodes, cells, and the key under which a node's entries lie (ReDiR, section 4.2).
//!
//! ```text
//!   level 0   [0 ............................................................. 2^160)     b^0 = 1 node
//!              cell 0        cell 1                 ...                cell b-1
//!   level 1   [ node 0     )[ node 1     )          ...              [ node b-1    )      b^1 nodes
//!              ...
//!   level i, node j = [ 2^160 b^-i j, 2^160 b^-i (j + 1) )       cell c of it = node j b + c of level i + 1
//! ```
//!
//! The bounds are not whole numbers unless b is a power of two, so nothing here computes them: an id is the fraction
//! id / 2^160, multiplied by b again and again. What is carried out of the 160 bits is the cell, what stays in them is the
//! place inside that cell. So the digits of an id in base b name its node on every level, exactly.
//!
//! Invariants: a node's partition is below b^level; a tree ends where its cells would be narrower than one id, and so a
//! partition always fits 160 bits.

use std::sync::Arc;

use crate::failure::ClientError;
use crate::key::{KEY_BYTES, Key};
use crate::redir::entry::Form;

/// The branching factor unless somebody says otherwise: that of the paper's measurements.
pub const BRANCHING_DEFAULT: u16 = 10;
/// Least branching factor.
pub const BRANCHING_MIN: u16 = 2;
/// Greatest branching factor. Bounds a get, which asks for [`VALUES_PER_CELL`] values a cell.
pub const BRANCHING_MAX: u16 = 256;
/// Values asked for, per cell of a node: in a tree at rest two of them are taken (4.2).
pub const VALUES_PER_CELL: usize = 8;
/// Longest namespace.
pub const NAMESPACE_BYTES_MAX: usize = 255;

/// What our keys begin with: other uses of the network hash other things.
const DOMAIN: &[u8; 15] = b"keyway redir 1:";

/// A number of 160 bits, in five words, the greatest first.
type Words = [u32; KEY_BYTES / 4];

fn words(key: &Key) -> Words {
    std::array::from_fn(|i| {
        let at = 4 * i;
        u32::from_be_bytes([key.0[at], key.0[at + 1], key.0[at + 2], key.0[at + 3]])
    })
}

/// `number * factor + add`: what is left in 160 bits, and what is carried out of them.
fn multiply(number: &mut Words, factor: u16, add: u32) -> u32 {
    let mut carry = u64::from(add);
    for word in number.iter_mut().rev() {
        let product = u64::from(*word) * u64::from(factor) + carry;
        *word = product as u32;
        carry = product >> 32;
    }
    carry as u32
}

/// One node of a tree: a level, and which of its intervals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TreeNode {
    /// How far below the root; the root is 0.
    pub level: u16,
    /// Which interval of the level, from the left: 160 bits, most significant byte first.
    pub partition: [u8; KEY_BYTES],
}

/// A namespace's tree. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    namespace: Arc<[u8]>,
    branching: u16,
    form: Form,
    level_count: u16,
}

impl Tree {
    /// The tree of a namespace (any bytes, 1 to [`NAMESPACE_BYTES_MAX`]) with this branching factor.
    ///
    /// # Errors
    /// [`ClientError::Usage`] for a namespace or a branching factor out of bounds.
    pub fn new(namespace: &[u8], branching: u16, form: Form) -> Result<Tree, ClientError> {
        check_namespace(namespace)?;
        if !(BRANCHING_MIN..=BRANCHING_MAX).contains(&branching) {
            return Err(ClientError::Usage(format!(
                "a branching factor is {BRANCHING_MIN} to {BRANCHING_MAX}, not {branching}"
            )));
        }
        let mut nodes: Words = [0, 0, 0, 0, 1];
        let mut level_count = 0;
        while multiply(&mut nodes, branching, 0) == 0 {
            level_count += 1;
        }
        // b^level_count is 2^160 exactly for powers of two: a level more, whose cells hold one id each.
        if nodes.iter().all(|word| *word == 0) {
            level_count += 1;
        }
        Ok(Tree { namespace: namespace.into(), branching, form, level_count })
    }

    /// How many levels there are; at least one. On the last, cells hold one id or little more.
    #[must_use]
    pub fn level_count(&self) -> u16 {
        self.level_count
    }

    /// How many cells a node has.
    #[must_use]
    pub fn branching(&self) -> u16 {
        self.branching
    }

    /// How keys and entries are written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Values that a get of one node asks for: 8 b.
    #[must_use]
    pub fn values_max(&self) -> usize {
        VALUES_PER_CELL * usize::from(self.branching)
    }

    /// The node on `level` that encloses `id`, and which of its cells does. A level beyond the last is the last.
    #[must_use]
    pub fn place(&self, level: u16, id: &Key) -> (TreeNode, u16) {
        let level = level.min(self.level_count - 1);
        let mut fraction = words(id);
        let mut partition: Words = [0; KEY_BYTES / 4];
        for _ in 0..level {
            let digit = multiply(&mut fraction, self.branching, 0);
            multiply(&mut partition, self.branching, digit);
        }
        let cell = multiply(&mut fraction, self.branching, 0);
        let mut bytes = [0; KEY_BYTES];
        for (four, word) in bytes.chunks_exact_mut(4).zip(partition) {
            four.copy_from_slice(&word.to_be_bytes());
        }
        // A digit is below b, which is at most 256.
        (TreeNode { level, partition: bytes }, cell as u16)
    }

    /// The node that is cell `cell` of `node`; none below the last level, or if there is no such cell.
    #[must_use]
    pub fn child(&self, node: &TreeNode, cell: u16) -> Option<TreeNode> {
        if node.level + 1 >= self.level_count || cell >= self.branching {
            return None;
        }
        let mut partition = words(&Key(node.partition));
        multiply(&mut partition, self.branching, cell.into());
        let mut bytes = [0; KEY_BYTES];
        for (four, word) in bytes.chunks_exact_mut(4).zip(partition) {
            four.copy_from_slice(&word.to_be_bytes());
        }
        Some(TreeNode { level: node.level + 1, partition: bytes })
    }

    /// The key under which a node's entries lie.
    ///
    /// [`Form::Native`]: SHA-1 of domain tag, namespace with its length (16 bits), b (16 bits), level (16 bits), partition
    /// (160 bits), most significant byte first. [`Form::Classic`] follows redir++ (4.2): SHA-1 of namespace, b and level
    /// (16 bits each), and the partition in as many bytes as it and a sign bit need, none for zero. Its byte order and
    /// its form of great numbers are read from descriptions and were never tried against redir++ itself.
    #[must_use]
    pub fn key(&self, node: &TreeNode) -> Key {
        let mut text = Vec::with_capacity(DOMAIN.len() + self.namespace.len() + 6 + KEY_BYTES);
        if self.form == Form::Native {
            text.extend(DOMAIN);
            // Within bounds since `new`.
            text.extend((self.namespace.len() as u16).to_be_bytes());
        }
        text.extend(&*self.namespace);
        text.extend(self.branching.to_be_bytes());
        text.extend(node.level.to_be_bytes());
        match self.form {
            Form::Native => text.extend(node.partition),
            Form::Classic => text.extend(signed(&node.partition)),
        }
        Key::hash(&text)
    }
}

/// Whether a namespace is within bounds.
pub(crate) fn check_namespace(namespace: &[u8]) -> Result<(), ClientError> {
    if namespace.is_empty() || namespace.len() > NAMESPACE_BYTES_MAX {
        let count = namespace.len();
        return Err(ClientError::Usage(format!(
            "a namespace has 1 to {NAMESPACE_BYTES_MAX} bytes; this has {count}"
        )));
    }
    Ok(())
}

/// Two's complement in the fewest bytes, most significant first; nothing for zero.
fn signed(number: &[u8; KEY_BYTES]) -> Vec<u8> {
    let Some(first) = number.iter().position(|byte| *byte != 0) else { return Vec::new() };
    let sign = if number[first] >= 0x80 { &[0][..] } else { &[] };
    [sign, &number[first..]].concat()
}
