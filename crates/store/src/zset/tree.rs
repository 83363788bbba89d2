//! The order of a large sorted set: a counted B+ tree on wide nodes. It holds references to members, not the members.
//!
//! Inner nodes hold, for each child, the score of its first key (so that a search by score reads nothing else), that key (for
//! equal scores) and how many keys lie below. A node that overflows at its end is not halved: keys that come in order leave full
//! nodes behind. A range is walked by rank, one descent per leaf, so a node needs no links.

use std::cmp::Ordering;
use std::ops::Range;

use crate::block::ScoredRef;

/// The most keys in a leaf and children of an inner node. Under Miri few, so that few keys make a tree of many nodes.
const WIDTH: usize = if cfg!(miri) { 8 } else { 64 };
/// Neighbours that hold no more than this together become one.
const MERGE: usize = WIDTH * 3 / 4;
/// Leaves grow by so many keys: the sizes that an allocator has there.
const STEP: usize = 8;

/// What a tree orders. Equality is that of the keys themselves and need not look at what they refer to: where a key is known, it
/// is found in its leaf that way.
pub(super) trait Key: Copy + PartialEq {
    fn score(&self) -> f64;
    fn member(&self) -> &[u8];
    /// Brings what it refers to to the cache.
    fn prefetch(&self);
}

impl Key for ScoredRef {
    #[inline]
    fn score(&self) -> f64 {
        self.score()
    }

    #[inline]
    fn member(&self) -> &[u8] {
        self.member()
    }

    #[inline]
    fn prefetch(&self) {
        self.prefetch();
    }
}

/// Keys in the order of (score, member).
pub(super) struct Tree<K> {
    root: Node<K>,
}

/// How one key or bound compares to another: scores first, -0 and 0 being equal; then bytes.
#[inline]
pub(super) fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    match a.0.partial_cmp(&b.0) {
        Some(Ordering::Equal) | None => a.1.cmp(b.1),
        Some(order) => order,
    }
}

impl<K: Key> Tree<K> {
    pub(super) fn new() -> Self {
        Self {
            root: Node::Leaf(Vec::new()),
        }
    }

    /// A tree of the keys of what is in order: all nodes full.
    pub(super) fn from_sorted<T>(keys: &[T], key: impl Fn(&T) -> K) -> Self {
        let mut level: Vec<Node<K>> = keys
            .chunks(WIDTH)
            .map(|keys| Node::Leaf(keys.iter().map(&key).collect()))
            .collect();
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(WIDTH));
            let mut kids = level.into_iter().peekable();
            while kids.peek().is_some() {
                let mut inner = Inner::new();
                for kid in kids.by_ref().take(WIDTH) {
                    inner.push(kid);
                }
                above.push(Node::Inner(Box::new(inner)));
            }
            level = above;
        }
        match level.pop() {
            Some(root) => Self { root },
            None => Self::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.root.len()
    }

    /// Adds a key that is not there.
    pub(super) fn insert(&mut self, key: K) {
        if let Some(right) = self.root.insert(key) {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let mut inner = Inner::new();
            inner.push(left);
            inner.push(right);
            self.root = Node::Inner(Box::new(inner));
        }
    }

    /// Removes a key; whether it was there.
    pub(super) fn remove(&mut self, key: K) -> bool {
        let removed = self.root.remove(key);
        self.lower();
        removed
    }

    /// Removes the keys with these ranks, which the caller has bounded by the length. Nodes that go whole are left in `rest`: to free many
    /// of them takes time.
    pub(super) fn remove_range(&mut self, ranks: Range<usize>, rest: &mut Vec<Node<K>>) {
        if ranks.len() == self.len() {
            rest.push(std::mem::replace(&mut self.root, Node::Leaf(Vec::new())));
        } else if !ranks.is_empty() {
            self.root.cut(ranks, rest);
            self.lower();
        }
    }

    /// Whether a key would keep its place in its leaf with another score. The caller then changes the score where the key refers
    /// to, and nothing else.
    pub(super) fn keeps_place(&self, key: K, score: f64) -> bool {
        let (keys, at, _) = self.find(key);
        // The first key of a leaf stands in the nodes above.
        let (Some(before), Some(behind)) = (at.checked_sub(1).map(|i| &keys[i]), keys.get(at + 1))
        else {
            return false;
        };
        let new = (score, key.member());
        order((before.score(), before.member()), new).is_lt()
            && order(new, (behind.score(), behind.member())).is_lt()
    }

    /// How many keys there are before the first for which `before` does not hold; it must hold for a run from the start. It gets
    /// the score, and the key for what else it wants to know.
    #[inline]
    pub(super) fn count_while(&self, before: impl Fn(f64, &K) -> bool) -> usize {
        let mut node = &self.root;
        let mut rank = 0;
        loop {
            match node {
                Node::Inner(inner) => {
                    let Some(i) = inner.partition(&before).checked_sub(1) else {
                        return rank;
                    };
                    rank += inner.counts[..i].iter().sum::<usize>();
                    node = &inner.kids[i];
                }
                Node::Leaf(keys) => {
                    return rank + point_in(keys, |key| before(key.score(), key));
                }
            }
        }
    }

    /// How many keys there are before this one, which is there.
    pub(super) fn rank(&self, key: K) -> usize {
        let (_, at, before) = self.find(key);
        before + at
    }

    /// The keys with these ranks, which the caller has bounded by the length.
    pub(super) fn range(&self, ranks: Range<usize>) -> Iter<'_, K> {
        Iter {
            tree: self,
            rest: ranks,
            front: [].iter(),
            back: [].iter(),
        }
    }

    /// Bytes of heap memory, taking all inner nodes to be like the root.
    pub(super) fn heap_bytes(&self) -> usize {
        let leaves = self.len() / (WIDTH / 2) + 1;
        let per_kid = size_of::<f64>() + size_of::<K>() + size_of::<usize>() + size_of::<Node<K>>();
        self.len() * size_of::<K>() * 5 / 4 + leaves * per_kid
    }

    /// How many nodes there are, about.
    pub(super) fn nodes(&self) -> usize {
        self.len() / (WIDTH / 2) + 1
    }

    /// The leaf of a key, the key's place there, and how many keys there are before the leaf.
    fn find(&self, key: K) -> (&[K], usize, usize) {
        let mut node = &self.root;
        let mut before = 0;
        loop {
            match node {
                Node::Inner(inner) => {
                    let i = inner.child_of(key);
                    before += inner.counts[..i].iter().sum::<usize>();
                    node = &inner.kids[i];
                }
                Node::Leaf(keys) => return (keys, place_of(keys, key), before),
            }
        }
    }

    fn leaf_at(&self, mut rank: usize) -> (&[K], usize) {
        let mut node = &self.root;
        loop {
            match node {
                Node::Inner(inner) => {
                    let i = inner.child_at(&mut rank);
                    node = &inner.kids[i];
                }
                Node::Leaf(keys) => return (keys, rank),
            }
        }
    }

    /// Drops levels with one node.
    fn lower(&mut self) {
        while let Node::Inner(inner) = &mut self.root
            && inner.kids.len() <= 1
        {
            self.root = inner.kids.pop().unwrap_or(Node::Leaf(Vec::new()));
        }
    }
}

/// Keys of a range of ranks, from either end.
pub(super) struct Iter<'a, K> {
    tree: &'a Tree<K>,
    /// Ranks whose leaves have not been looked up.
    rest: Range<usize>,
    front: std::slice::Iter<'a, K>,
    back: std::slice::Iter<'a, K>,
}

impl<'a, K: Key> Iterator for Iter<'a, K> {
    type Item = &'a K;

    #[inline]
    fn next(&mut self) -> Option<&'a K> {
        if let Some(key) = self.front.next() {
            return Some(key);
        }
        if self.rest.is_empty() {
            return self.back.next();
        }
        let (keys, at) = self.tree.leaf_at(self.rest.start);
        let end = keys.len().min(at + self.rest.len());
        self.rest.start += end - at;
        self.front = keys[at..end].iter();
        self.front.next()
    }
}

impl<K: Key> DoubleEndedIterator for Iter<'_, K> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if let Some(key) = self.back.next_back() {
            return Some(key);
        }
        if self.rest.is_empty() {
            return self.front.next_back();
        }
        let (keys, at) = self.tree.leaf_at(self.rest.end - 1);
        let end = at + 1;
        let begin = end - end.min(self.rest.len());
        self.rest.end -= end - begin;
        self.back = keys[begin..end].iter();
        self.back.next_back()
    }
}

pub(super) enum Node<K> {
    Leaf(Vec<K>),
    Inner(Box<Inner<K>>),
}

/// A node with children, none of them empty. The four have the same length.
pub(super) struct Inner<K> {
    scores: Vec<f64>,
    firsts: Vec<K>,
    counts: Vec<usize>,
    kids: Vec<Node<K>>,
}

impl<K: Key> Node<K> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(keys) => keys.len(),
            Self::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    /// Keys or children.
    fn width(&self) -> usize {
        match self {
            Self::Leaf(keys) => keys.len(),
            Self::Inner(inner) => inner.kids.len(),
        }
    }

    fn first(&self) -> Option<K> {
        match self {
            Self::Leaf(keys) => keys.first().copied(),
            Self::Inner(inner) => inner.firsts.first().copied(),
        }
    }

    /// Answers the right half where the node had to be divided.
    fn insert(&mut self, key: K) -> Option<Self> {
        match self {
            Self::Leaf(keys) => {
                let place = (key.score(), key.member());
                let at = point_in(keys, |other| {
                    order((other.score(), other.member()), place).is_lt()
                });
                if keys.len() < WIDTH {
                    if keys.len() == keys.capacity() {
                        keys.reserve_exact(STEP);
                    }
                    keys.insert(at, key);
                    return None;
                }
                let mut right = split_leaf(keys, at);
                if at <= keys.len() && !(keys.len() == WIDTH && right.is_empty()) {
                    push_at(keys, at, key);
                } else {
                    push_at(&mut right, at - keys.len(), key);
                }
                Some(Self::Leaf(right))
            }
            Self::Inner(inner) => inner.insert(key).map(|right| Self::Inner(Box::new(right))),
        }
    }

    fn remove(&mut self, key: K) -> bool {
        match self {
            Self::Leaf(keys) => {
                let at = place_of(keys, key);
                let there = at < keys.len();
                if there {
                    keys.remove(at);
                    trim_leaf(keys);
                }
                there
            }
            Self::Inner(inner) => {
                let i = inner.child_of(key);
                let removed = inner.kids[i].remove(key);
                if removed {
                    inner.counts[i] -= 1;
                    inner.mend(i);
                }
                removed
            }
        }
    }

    /// Removes some of the keys, not all, by their ranks here.
    fn cut(&mut self, ranks: Range<usize>, rest: &mut Vec<Self>) {
        match self {
            Self::Leaf(keys) => {
                keys.drain(ranks);
                trim_leaf(keys);
            }
            Self::Inner(inner) => inner.cut(ranks, rest),
        }
    }

    /// Takes the keys or children of the right neighbour.
    fn append(&mut self, right: Self) {
        match (self, right) {
            (Self::Leaf(keys), Self::Leaf(more)) => {
                keys.reserve_exact((keys.len() + more.len()).next_multiple_of(STEP) - keys.len());
                keys.extend_from_slice(&more);
            }
            (Self::Inner(inner), Self::Inner(more)) => {
                inner.scores.extend_from_slice(&more.scores);
                inner.firsts.extend_from_slice(&more.firsts);
                inner.counts.extend_from_slice(&more.counts);
                inner.kids.extend(more.kids);
            }
            _ => unreachable!("all leaves lie equally deep"),
        }
    }
}

impl<K: Key> Inner<K> {
    fn new() -> Self {
        Self {
            scores: Vec::new(),
            firsts: Vec::new(),
            counts: Vec::new(),
            kids: Vec::new(),
        }
    }

    fn push(&mut self, kid: Node<K>) {
        self.insert_kid(self.kids.len(), kid);
    }

    /// Puts a node, if it is not empty, among the children.
    fn insert_kid(&mut self, i: usize, kid: Node<K>) {
        if let Some(first) = kid.first() {
            self.scores.insert(i, first.score());
            self.firsts.insert(i, first);
            self.counts.insert(i, kid.len());
            self.kids.insert(i, kid);
        }
    }

    fn remove_kid(&mut self, i: usize) -> Node<K> {
        self.scores.remove(i);
        self.firsts.remove(i);
        self.counts.remove(i);
        self.kids.remove(i)
    }

    /// How many children begin with a key for which `before` holds.
    #[inline]
    fn partition(&self, before: &impl Fn(f64, &K) -> bool) -> usize {
        let (mut low, mut high) = (0, self.kids.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(self.scores[middle], &self.firsts[middle]) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The child where a key belongs.
    fn child_of(&self, key: K) -> usize {
        let (score, member) = (key.score(), key.member());
        self.partition(&|other, key: &K| {
            other < score || (other == score && key.member() <= member)
        })
        .saturating_sub(1)
    }

    /// The child that holds `rank`, which becomes the rank in that child.
    fn child_at(&self, rank: &mut usize) -> usize {
        let mut i = 0;
        while i + 1 < self.kids.len() && *rank >= self.counts[i] {
            *rank -= self.counts[i];
            i += 1;
        }
        i
    }

    /// Removes some of the keys, not all, by their ranks here: whole children, and parts of those at either end.
    fn cut(&mut self, ranks: Range<usize>, rest: &mut Vec<Node<K>>) {
        let Range { mut start, end } = ranks;
        let mut left = end - start;
        let first = self.child_at(&mut start);
        let mut i = first;
        if start > 0 {
            let len = left.min(self.counts[i] - start);
            self.kids[i].cut(start..start + len, rest);
            self.counts[i] -= len;
            left -= len;
            i += 1;
        }
        let mut whole = i;
        while left > 0 && self.counts[whole] <= left {
            left -= self.counts[whole];
            whole += 1;
        }
        self.scores.drain(i..whole);
        self.firsts.drain(i..whole);
        self.counts.drain(i..whole);
        rest.extend(self.kids.drain(i..whole));
        if left > 0 {
            self.kids[i].cut(0..left, rest);
            self.counts[i] -= left;
        }
        // The later one first: mending takes away a child behind it at most.
        for i in [i, first] {
            if i < self.kids.len() {
                self.mend(i);
            }
        }
    }

    fn insert(&mut self, key: K) -> Option<Self> {
        let i = self.child_of(key);
        let split = self.kids[i].insert(key);
        self.note_first(i);
        let Some(right) = split else {
            self.counts[i] += 1;
            return None;
        };
        self.counts[i] = self.kids[i].len();
        let last = i + 1 == self.kids.len();
        self.insert_kid(i + 1, right);
        if self.kids.len() <= WIDTH {
            return None;
        }
        let at = if last { WIDTH } else { WIDTH / 2 };
        Some(Self {
            scores: self.scores.split_off(at),
            firsts: self.firsts.split_off(at),
            counts: self.counts.split_off(at),
            kids: self.kids.split_off(at),
        })
    }

    /// Writes down the first key of child `i`, which may have changed.
    fn note_first(&mut self, i: usize) {
        if let Some(first) = self.kids[i].first() {
            self.scores[i] = first.score();
            self.firsts[i] = first;
        }
    }

    /// Puts in order what the loss of keys in child `i` left.
    fn mend(&mut self, i: usize) {
        if self.counts[i] == 0 {
            self.remove_kid(i);
            return;
        }
        self.note_first(i);
        let width = self.kids[i].width();
        if width > WIDTH / 4 {
            return;
        }
        let fits = |other: usize| {
            self.kids
                .get(other)
                .is_some_and(|kid| kid.width() + width <= MERGE)
        };
        let left = if fits(i + 1) {
            i
        } else if i > 0 && fits(i - 1) {
            i - 1
        } else {
            return;
        };
        let count = self.counts[left + 1];
        let right = self.remove_kid(left + 1);
        self.kids[left].append(right);
        self.counts[left] += count;
    }
}

/// How many keys of a leaf there are before the first for which `before` does not hold. Each key that is looked at is a block elsewhere in
/// memory. So those that a search may look at next come to the cache together: first one of every [`STEP`], then those in between.
#[inline]
fn point_in<K: Key>(keys: &[K], before: impl Fn(&K) -> bool) -> usize {
    let starts = (STEP..keys.len()).step_by(STEP);
    starts.clone().for_each(|at| keys[at].prefetch());
    let from = STEP * starts.take_while(|at| before(&keys[*at])).count();
    let step = &keys[from..keys.len().min(from + STEP)];
    step.iter().for_each(Key::prefetch);
    from + step.partition_point(before)
}

/// Where a key lies in its leaf; behind the last one where it is not there.
fn place_of<K: Copy + PartialEq>(keys: &[K], key: K) -> usize {
    keys.iter()
        .position(|other| *other == key)
        .unwrap_or(keys.len())
}

/// Divides a full leaf for a key that goes to `at`: in the middle, or so that keys in order leave full leaves.
fn split_leaf<K: Key>(keys: &mut Vec<K>, at: usize) -> Vec<K> {
    match at {
        WIDTH => Vec::new(),
        0 => std::mem::take(keys),
        _ => {
            let right = keys.split_off(WIDTH / 2);
            keys.shrink_to(WIDTH / 2 + STEP);
            right
        }
    }
}

fn push_at<K>(keys: &mut Vec<K>, at: usize, key: K) {
    if keys.len() == keys.capacity() {
        keys.reserve_exact(STEP);
    }
    keys.insert(at, key);
}

/// Gives memory back where much of a leaf is free.
fn trim_leaf<K>(keys: &mut Vec<K>) {
    if keys.capacity() - keys.len() >= 3 * STEP {
        keys.shrink_to((keys.len() + STEP).next_multiple_of(STEP));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::amount::{amount, cases};
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Pair(i32, [u8; 2]);

    impl Key for Pair {
        fn score(&self) -> f64 {
            f64::from(self.0)
        }

        fn member(&self) -> &[u8] {
            &self.1
        }

        fn prefetch(&self) {}
    }

    impl Tree<Pair> {
        /// Checks every promise that a node makes, and answers the depth.
        fn check(&self) {
            fn walk(node: &Node<Pair>, root: bool) -> usize {
                assert!(root || node.width() > 0);
                assert!(node.width() <= WIDTH);
                let Node::Inner(inner) = node else { return 0 };
                assert!(inner.kids.len() > usize::from(root));
                let depths: BTreeSet<usize> =
                    inner.kids.iter().map(|kid| walk(kid, false)).collect();
                assert_eq!(depths.len(), 1);
                for (i, kid) in inner.kids.iter().enumerate() {
                    assert_eq!(inner.counts[i], kid.len());
                    assert_eq!(Some(inner.firsts[i]), kid.first());
                    assert!(order((inner.scores[i], b""), (inner.firsts[i].score(), b"")).is_eq());
                }
                depths.into_iter().next().unwrap_or(0) + 1
            }
            walk(&self.root, true);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i32, u16, u16),
        Rising(u16),
        Falling(u16),
        Remove(prop::sample::Index),
        RemoveRange(prop::sample::Index, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0i32..8, any::<u16>(), 1u16..amount(200, 40)).prop_map(|(score, member, n)| Step::Insert(score, member, n)),
            2 => (1u16..amount(400, 80)).prop_map(Step::Rising),
            2 => (1u16..amount(400, 80)).prop_map(Step::Falling),
            4 => any::<prop::sample::Index>().prop_map(Step::Remove),
            2 => (any::<prop::sample::Index>(), prop_oneof![0usize..amount(500, 20), 0usize..amount(20_000, 300)]).prop_map(|(at, n)| Step::RemoveRange(at, n)),
        ]
    }

    fn apply(tree: &mut Tree<Pair>, model: &mut BTreeSet<Pair>, step: &Step) {
        let mut add = |tree: &mut Tree<Pair>, pair| {
            if model.insert(pair) {
                tree.insert(pair);
            }
        };
        match *step {
            Step::Insert(score, member, n) => {
                for i in 0..n {
                    let member = member.wrapping_add(i.wrapping_mul(7919)).to_be_bytes();
                    add(tree, Pair(score, member));
                }
            }
            Step::Rising(n) => (0..n).for_each(|i| add(tree, Pair(9, i.to_be_bytes()))),
            Step::Falling(n) => {
                (0..n).for_each(|i| add(tree, Pair(-1, (60_000 - i).to_be_bytes())));
            }
            Step::Remove(at) if !model.is_empty() => {
                let pair = *model.iter().nth(at.index(model.len())).unwrap();
                assert!(tree.remove(pair));
                assert!(!tree.remove(pair));
                model.remove(&pair);
            }
            Step::Remove(_) => assert!(!tree.remove(Pair(0, [0, 0]))),
            Step::RemoveRange(at, n) => {
                let rank = at.index(model.len() + 1);
                let gone: Vec<Pair> = model.iter().skip(rank).take(n).copied().collect();
                let ranks = rank..rank + gone.len();
                assert!(tree.range(ranks.clone()).eq(&gone));
                let before = tree.len();
                let mut rest = Vec::new();
                tree.remove_range(ranks, &mut rest);
                let whole: usize = rest.iter().map(Node::len).sum();
                assert!(whole <= gone.len() && before - tree.len() == gone.len());
                if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
                    model.retain(|pair| !(first..=last).contains(&pair));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(cases(128, 4))]
        #[test]
        fn orders_like_a_set(steps in prop::collection::vec(step(), 1..amount(40, 6))) {
            let mut tree = Tree::new();
            let mut model = BTreeSet::new();
            for step in &steps {
                apply(&mut tree, &mut model, step);
                tree.check();
                prop_assert_eq!(tree.len(), model.len());
            }
            let all: Vec<Pair> = model.iter().copied().collect();
            prop_assert!(tree.range(0..all.len()).eq(&all));
            prop_assert!(tree.range(0..all.len()).rev().eq(all.iter().rev()));
            let (from, to) = (all.len() / 3, all.len() * 4 / 5);
            let (mut range, mut expected) = (tree.range(from..to), all[from..to].iter());
            for turn in 0.. {
                let (one, other) = if turn % 3 == 0 { (range.next_back(), expected.next_back()) } else { (range.next(), expected.next()) };
                prop_assert_eq!(one, other);
                if one.is_none() {
                    break;
                }
            }
            for (rank, pair) in all.iter().enumerate().step_by(7) {
                prop_assert_eq!(tree.rank(*pair), rank);
            }
            prop_assert_eq!(tree.count_while(|score, _| score < 4.0), all.iter().filter(|pair| pair.0 < 4).count());
            let built = Tree::from_sorted(&all, |key| *key);
            built.check();
            prop_assert!(built.range(0..all.len()).eq(&all));
        }
    }

    #[test]
    fn keys_in_order_fill_the_leaves() {
        let mut tree = Tree::new();
        for i in 0..u16::try_from(WIDTH * WIDTH * 2).unwrap() {
            tree.insert(Pair(1, i.to_be_bytes()));
        }
        tree.check();
        let Node::Inner(root) = &tree.root else {
            panic!("a tree of several levels")
        };
        assert_eq!(root.counts, [WIDTH * WIDTH; 2]);
    }
}
