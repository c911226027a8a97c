//! The Merkle tree of RFC 6962 (2.1) over the hashes of a chain's records, in order: what a checkpoint's root is the root of.
//! Kept as the roots of its complete subtrees, largest first, so that adding a record costs the same however many there are.

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// One for each 1 in the size's binary form.
    subtrees: Vec<Hash>,
}

fn leaf(data: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(data).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

impl Tree {
    /// From what [`Tree::stored`] gave; `None` when the two do not fit each other.
    pub fn read(size: u64, stored: &str) -> Option<Self> {
        let bytes = hex::decode(stored).ok()?;
        let (subtrees, rest) = bytes.as_chunks::<32>();
        (rest.is_empty() && subtrees.len() == size.count_ones() as usize).then(|| Self { size, subtrees: subtrees.to_vec() })
    }

    /// The roots of the complete subtrees, hex, one after the other.
    pub fn stored(&self) -> String {
        hex::encode(self.subtrees.concat())
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, data: &[u8]) {
        let mut right = leaf(data);
        let mut n = self.size;
        while n & 1 == 1 {
            if let Some(left) = self.subtrees.pop() {
                right = node(&left, &right);
            }
            n >>= 1;
        }
        self.subtrees.push(right);
        self.size += 1;
    }

    pub fn root(&self) -> Hash {
        let mut from_the_right = self.subtrees.iter().rev();
        let Some(last) = from_the_right.next() else { return Sha256::digest([]).into() };
        from_the_right.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn by_definition(data: &[Vec<u8>]) -> Hash {
        match data {
            [] => Sha256::digest([]).into(),
            [one] => leaf(one),
            all => {
                let k = all.len().next_power_of_two() / 2;
                node(&by_definition(&all[..k]), &by_definition(&all[k..]))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition_for_every_size_and_survives_being_stored() {
        let data: Vec<Vec<u8>> = (0..70_u8).map(|n| vec![n; usize::from(n)]).collect();
        let mut tree = Tree::default();
        for n in 0..data.len() {
            assert_eq!(tree.root(), by_definition(&data[..n]), "{n}");
            tree = Tree::read(n as u64, &tree.stored()).unwrap();
            tree.push(&data[n]);
        }
        assert_eq!(Tree::read(3, &tree.stored()), None);
        assert_eq!(Tree::read(70, "zz"), None);
    }

    /// The test vectors of the reference implementation (google/certificate-transparency, merkle_tree_test).
    #[test]
    fn the_root_is_that_of_the_reference_implementation() {
        let mut tree = Tree::default();
        assert_eq!(hex::encode(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        tree.push(b"");
        assert_eq!(hex::encode(tree.root()), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        tree.push(&[0]);
        assert_eq!(hex::encode(tree.root()), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }
}
