//! An address family as a line, cut into runs of equal values.
//!
//! ```text
//!   starts   0.0.0.0   1.0.0.0   1.0.1.0      1.0.4.0        ...
//!   values   nowhere   AU        CN           AU
//!   index    by the top 16 bits, and in crowded cells by the next 12: the run that holds the first
//!            address of the cell
//! ```
//!
//! # Invariants
//!
//! - The first run starts at 0, the last ends at the family's last address.
//! - Starts ascend; neighbouring values differ, so that a run is as wide as its value is true.
//!
//! Not here: what the values mean.

use std::fmt::Debug;

/// Lines with fewer runs are searched without an index, which would be larger than they are.
const INDEXED_RUNS_MIN: usize = 2048;

/// Bits of an address that choose its cell.
const COARSE_BITS: u8 = 16;

/// Cells with fewer runs are not divided further. A division takes less than so many runs do.
const CROWDED_RUNS_MIN: u32 = 1024;

/// The bits after those of the cell, where it is divided: IPv6 is given out in few cells, and in
/// those at about this depth.
const FINE_BITS: u8 = 12;

/// An address of one family as a number.
pub trait Address: Copy + Ord + Debug {
    /// Bits of an address.
    const BITS: u8;
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;

    /// The `len` bits after the first `from`.
    fn bits(self, from: u8, len: u8) -> usize;
    /// The next address; none after the last.
    fn after(self) -> Option<Self>;
    /// The address before; none before the first.
    fn before(self) -> Option<Self>;
    /// Leading bits that it has in common with `other`.
    fn common_bits(self, other: Self) -> u8;
    /// A number that is the greater the fewer leading bits it has in common with `other`.
    #[must_use]
    fn distance(self, other: Self) -> Self;
    /// The block of `len` bits that holds it.
    fn block(self, len: u8) -> Run<Self>;
}

macro_rules! address {
    ($int:ty, $bits:literal) => {
        impl Address for $int {
            const BITS: u8 = $bits;
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn bits(self, from: u8, len: u8) -> usize {
                usize::try_from(self << from >> ($bits - len)).expect("few bits are asked for")
            }

            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn common_bits(self, other: Self) -> u8 {
                u8::try_from((self ^ other).leading_zeros()).expect("at most 128")
            }

            fn distance(self, other: Self) -> Self {
                self ^ other
            }

            fn block(self, len: u8) -> Run<Self> {
                assert!(len <= $bits);
                // Shifting by the full width is undefined: a block of no bits is everything.
                let host = Self::MAX.checked_shr(u32::from(len)).unwrap_or(0);
                Run { first: self & !host, last: self | host }
            }
        }
    };
}
address!(u32, 32);
address!(u128, 128);

/// Addresses from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run<A> {
    /// The first.
    pub first: A,
    /// The last; not before the first.
    pub last: A,
}

/// The length of the widest prefix that holds `address` and lies within `run`, which holds it too.
#[must_use]
pub fn widest_prefix<A: Address>(address: A, run: Run<A>) -> u8 {
    assert!(run.first <= address);
    assert!(address <= run.last);
    // A prefix stays within the run when it holds neither of the neighbours just outside: when it is
    // longer than what the address has in common with them.
    let longer = |outside: A| address.common_bits(outside) + 1;
    let below = run.first.before().map_or(0, longer);
    let above = run.last.after().map_or(0, longer);
    below.max(above)
}

/// A value for every address of a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges<A, V> {
    starts: Box<[A]>,
    values: Box<[V]>,
    index: Index,
}

impl<A: Address, V: Copy + PartialEq> Ranges<A, V> {
    /// One value for all.
    #[must_use]
    pub fn uniform(value: V) -> Self {
        Self { starts: Box::new([A::FIRST]), values: Box::new([value]), index: Index::default() }
    }

    /// `default`, and over it blocks of which the longest that holds an address wins, and of equal
    /// ones the last. Blocks are nested or apart, as prefixes are.
    #[must_use]
    pub fn from_blocks(default: V, mut blocks: Vec<(Run<A>, V)>) -> Self {
        // Wider blocks come before the ones that they hold.
        blocks.sort_by(|(one, _), (other, _)| {
            one.first.cmp(&other.first).then(other.last.cmp(&one.last))
        });
        let mut cuts = Cuts::with_capacity(2 * blocks.len() + 1);
        let mut open = vec![(Run { first: A::FIRST, last: A::LAST }, default)];
        cuts.cut(A::FIRST, default);
        for (block, value) in blocks {
            close(&mut open, &mut cuts, Some(block.first));
            assert!(block.last <= open.last().expect("the default is never closed").0.last);
            cuts.cut(block.first, value);
            open.push((block, value));
        }
        close(&mut open, &mut cuts, None);
        cuts.finish()
    }

    /// The value of an address, and the run of addresses around it that have the same.
    #[must_use]
    #[inline(always)]
    pub fn get(&self, address: A) -> (V, Run<A>) {
        let idx = self.place(address);
        (self.values[idx], self.run(idx))
    }

    /// The value of an address, and the length of the widest prefix around it that has the same, as
    /// [`widest_prefix`] gives it.
    #[must_use]
    #[inline(always)]
    pub fn look(&self, address: A) -> (V, u8) {
        let idx = self.place(address);
        // What is outside and has most in common with the address: the ends of the neighbours.
        let below = idx.checked_sub(1).and_then(|_| self.starts[idx].before());
        let above = self.starts.get(idx + 1).copied();
        let distances = [below, above].map(|it| it.map(|outside| address.distance(outside)));
        let least = match distances {
            [Some(one), Some(other)] => one.min(other),
            [Some(it), None] | [None, Some(it)] => it,
            [None, None] => return (self.values[idx], 0),
        };
        (self.values[idx], A::FIRST.common_bits(least) + 1)
    }

    /// The number of the run that holds the address.
    #[inline(always)]
    fn place(&self, address: A) -> usize {
        let (first, last) = self.index.stretch(address).unwrap_or((0, self.starts.len() - 1));
        // The first start of the stretch is not after the address, so that one at least is counted.
        let n_begun = self.starts[first..=last].partition_point(|start| *start <= address);
        first + n_begun - 1
    }

    /// The line on which each address has what `combine` makes of its values here and there.
    #[must_use]
    pub fn overlay<W, X>(
        &self,
        other: &Ranges<A, W>,
        mut combine: impl FnMut(V, W) -> X,
    ) -> Ranges<A, X>
    where
        W: Copy + PartialEq,
        X: Copy + PartialEq,
    {
        let mut cuts = Cuts::with_capacity(self.starts.len() + other.starts.len());
        let (mut here, mut there) = (0, 0);
        let mut start = A::FIRST;
        loop {
            cuts.cut(start, combine(self.values[here], other.values[there]));
            let cuts_ahead = (self.starts.get(here + 1), other.starts.get(there + 1));
            start = match cuts_ahead {
                (Some(one), Some(two)) => *one.min(two),
                (Some(one), None) => *one,
                (None, Some(two)) => *two,
                (None, None) => break,
            };
            here += usize::from(cuts_ahead.0 == Some(&start));
            there += usize::from(cuts_ahead.1 == Some(&start));
        }
        cuts.finish()
    }

    /// The line on which each address has what `f` makes of its value; neighbours that became equal
    /// become one.
    #[must_use]
    pub fn map<W: Copy + PartialEq>(&self, mut f: impl FnMut(V) -> W) -> Ranges<A, W> {
        let mut cuts = Cuts::with_capacity(self.starts.len());
        for (start, value) in self.starts.iter().zip(&self.values) {
            cuts.cut(*start, f(*value));
        }
        cuts.finish()
    }

    /// The runs in ascending order, each with its value.
    #[must_use = "iterators are lazy"]
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (Run<A>, V)> {
        (0..self.starts.len()).map(|idx| (self.run(idx), self.values[idx]))
    }

    /// How many runs there are: at least one.
    #[must_use]
    pub fn n_runs(&self) -> usize {
        self.starts.len()
    }

    /// Octets that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + self.index.size()
    }

    fn run(&self, idx: usize) -> Run<A> {
        let next = self.starts.get(idx + 1);
        let last =
            next.map_or(A::LAST, |next| next.before().expect("only the first start is the first"));
        Run { first: self.starts[idx], last }
    }
}

/// Ends the open blocks that end before `first`; without one, all but the default.
fn close<A: Address, V: Copy + PartialEq>(
    open: &mut Vec<(Run<A>, V)>,
    cuts: &mut Cuts<A, V>,
    first: Option<A>,
) {
    while let [.., (_, under), (block, _)] = open[..] {
        if first.is_some_and(|first| first <= block.last) {
            return;
        }
        if let Some(after) = block.last.after() {
            cuts.cut(after, under);
        }
        open.pop();
    }
}

/// A line under construction from runs that come in ascending order, apart from each other; what
/// lies between them has the default.
#[derive(Debug)]
pub struct Builder<A, V> {
    cuts: Cuts<A, V>,
    default: V,
    /// Where the next run may start; none when the line is full.
    free: Option<A>,
}

impl<A: Address, V: Copy + PartialEq> Builder<A, V> {
    /// The default everywhere.
    #[must_use]
    pub fn new(default: V) -> Self {
        let mut cuts = Cuts::with_capacity(0);
        cuts.cut(A::FIRST, default);
        Self { cuts, default, free: Some(A::FIRST) }
    }

    /// Gives a run its value. Says whether it came in order; if not, nothing was done.
    #[must_use]
    pub fn put(&mut self, run: Run<A>, value: V) -> bool {
        if self.free.is_none_or(|free| run.first < free) || run.last < run.first {
            return false;
        }
        self.cuts.cut(run.first, value);
        self.free = run.last.after();
        if let Some(after) = self.free {
            self.cuts.cut(after, self.default);
        }
        true
    }

    /// The line.
    #[must_use]
    pub fn finish(self) -> Ranges<A, V> {
        self.cuts.finish()
    }
}

/// The line so far: where it was cut, and the value from each cut on.
#[derive(Debug)]
struct Cuts<A, V> {
    starts: Vec<A>,
    values: Vec<V>,
}

impl<A: Address, V: Copy + PartialEq> Cuts<A, V> {
    fn with_capacity(len: usize) -> Self {
        Self { starts: Vec::with_capacity(len), values: Vec::with_capacity(len) }
    }

    /// From `start` on the value is `value`. A second cut at the same place replaces the first.
    fn cut(&mut self, start: A, value: V) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            assert!(self.starts.last().is_none_or(|last| *last < start));
            self.starts.push(start);
            self.values.push(value);
        }
    }

    fn finish(self) -> Ranges<A, V> {
        assert!(self.starts.first() == Some(&A::FIRST));
        assert!(self.starts.len() == self.values.len());
        let index = if self.starts.len() < INDEXED_RUNS_MIN {
            Index::default()
        } else {
            Index::of(&self.starts, CROWDED_RUNS_MIN)
        };
        Ranges { starts: self.starts.into(), values: self.values.into(), index }
    }
}

/// Which runs an address may be in, by its first bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Index {
    /// Empty, or per cell of the whole line its first run, and a last one after them.
    cells: Box<[Cell]>,
    /// The divisions of crowded cells one after the other, as [`divide`] makes them.
    fine: Box<[u32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    /// The run that holds the cell's first address.
    run: u32,
    /// Where its division begins; [`Cell::WHOLE`] if it is not divided.
    fine: u32,
}

impl Cell {
    const WHOLE: u32 = u32::MAX;
}

impl Index {
    fn of<A: Address>(starts: &[A], crowded_runs_min: u32) -> Self {
        assert!(2 <= crowded_runs_min);
        let mut runs = Vec::new();
        divide(starts, 0, A::FIRST.block(0), COARSE_BITS, &mut runs);
        let mut cells: Vec<Cell> =
            runs.iter().map(|run| Cell { run: *run, fine: Cell::WHOLE }).collect();
        let mut fine = Vec::new();
        for (cell, ends) in cells.iter_mut().zip(runs.windows(2)) {
            if ends[1] - ends[0] < crowded_runs_min {
                continue;
            }
            cell.fine = u32::try_from(fine.len()).expect("the index is smaller than the line");
            let (first, last) = (ends[0] as usize, ends[1] as usize);
            // All but the first start in this cell, and maybe the last, which may begin the next.
            let block = starts[first + 1].block(COARSE_BITS);
            divide(&starts[first..=last], ends[0], block, FINE_BITS, &mut fine);
        }
        Self { cells: cells.into(), fine: fine.into() }
    }

    /// The first and the last run in which the address may be; none without an index.
    #[inline(always)]
    fn stretch<A: Address>(&self, address: A) -> Option<(usize, usize)> {
        let place = address.bits(0, COARSE_BITS);
        let cell = self.cells.get(place)?;
        if cell.fine == Cell::WHOLE {
            return Some((cell.run as usize, self.cells[place + 1].run as usize));
        }
        let place = cell.fine as usize + address.bits(COARSE_BITS, FINE_BITS);
        Some((self.fine[place] as usize, self.fine[place + 1] as usize))
    }

    fn size(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.fine)
    }
}

/// Divides a block of the line into 2^`bits` cells: appends per cell the run that holds its first
/// address, and after them the last run of the block. The runs begin at `starts`, are numbered from
/// `run` on, and the first of them holds the first address of the block.
fn divide<A: Address>(starts: &[A], run: u32, block: Run<A>, bits: u8, cells: &mut Vec<u32>) {
    let from = cells.len();
    let block_len = block.first.common_bits(block.last);
    let mut holder = run;
    for start in &starts[1..] {
        if block.last < *start {
            break;
        }
        // The cells that begin before this start, and were not begun before, are held by the run
        // before it.
        let place = start.bits(block_len, bits);
        let n_begun = place + usize::from(start.block(block_len + bits).first < *start);
        cells.resize(cells.len().max(from + n_begun), holder);
        holder += 1;
    }
    cells.resize(from + (1 << bits) + 1, holder);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Blocks close to each other and to the ends of the line, so that they nest, touch and repeat.
    fn blocks<A: Address + 'static>(
        address: impl Fn(u64, u64) -> A + Copy + 'static,
    ) -> impl Strategy<Value = Vec<(Run<A>, u8)>> {
        let block = (any::<u64>(), 0..4_u64, 0..=A::BITS, 0..4_u8)
            .prop_map(move |(bits, few, len, value)| (address(bits, few).block(len), value));
        prop::collection::vec(block, 0..40)
    }

    fn v4(bits: u64, few: u64) -> u32 {
        let bits = u32::try_from(bits >> 32).unwrap();
        [bits, 0xC000_0200 | bits & 0x7, u32::MAX - (bits & 0x3), bits & 0x3]
            [usize::try_from(few).unwrap()]
    }

    fn v6(bits: u64, few: u64) -> u128 {
        let wide = u128::from(bits);
        [wide << 64 | wide, 0x2001_0DB8 << 96 | wide & 0xF, u128::MAX - (wide & 0x3), wide & 0x3]
            [usize::try_from(few).unwrap()]
    }

    fn naive<A: Address>(blocks: &[(Run<A>, u8)], address: A) -> u8 {
        let holds = |run: &Run<A>| run.first <= address && address <= run.last;
        let len = |run: &Run<A>| run.first.common_bits(run.last);
        let mut best = None;
        for (run, value) in blocks.iter().filter(|(run, _)| holds(run)) {
            if best.is_none_or(|(best_len, _)| best_len <= len(run)) {
                best = Some((len(run), *value));
            }
        }
        best.map_or(0, |(_, value)| value)
    }

    /// The addresses at which something may change, and some others.
    fn probes<A: Address>(blocks: &[(Run<A>, u8)], more: &[A]) -> Vec<A> {
        let ends = blocks.iter().flat_map(|(run, _)| {
            [Some(run.first), Some(run.last), run.first.before(), run.last.after()]
        });
        ends.flatten().chain([A::FIRST, A::LAST]).chain(more.iter().copied()).collect()
    }

    fn check_shape<A: Address, V: Copy + PartialEq + Debug>(ranges: &Ranges<A, V>) {
        let runs: Vec<_> = ranges.runs().collect();
        assert_eq!(runs[0].0.first, A::FIRST);
        assert_eq!(runs[runs.len() - 1].0.last, A::LAST);
        for pair in runs.windows(2) {
            assert_eq!(pair[0].0.last.after(), Some(pair[1].0.first));
            assert_ne!(pair[0].1, pair[1].1);
        }
        // The same with an index, which few blocks would not get.
        let indexed = |crowded_runs_min| {
            let index = Index::of(&ranges.starts, crowded_runs_min);
            Ranges { index, ..ranges.clone() }
        };
        let (coarse, fine) = (indexed(u32::MAX), indexed(2));
        for (run, value) in runs {
            for address in [run.first, run.last] {
                assert_eq!(ranges.get(address), (value, run));
                assert_eq!(ranges.look(address), (value, widest_prefix(address, run)));
                assert_eq!(coarse.get(address), (value, run));
                assert_eq!(fine.get(address), (value, run));
            }
        }
    }

    fn check_lookups<A: Address>(one: &[(Run<A>, u8)], other: &[(Run<A>, u8)], more: &[A]) {
        let ranges = Ranges::from_blocks(0, one.to_vec());
        let others = Ranges::from_blocks(0, other.to_vec());
        let both = ranges.overlay(&others, |a, b| (a, b));
        let halved = ranges.map(|value| value / 2);
        check_shape(&ranges);
        check_shape(&both);
        check_shape(&halved);
        let mut rebuilt = Builder::new(0);
        for (run, value) in ranges.runs().filter(|(_, value)| *value != 0) {
            assert!(rebuilt.put(run, value));
            assert!(!rebuilt.put(run, value));
        }
        assert_eq!(rebuilt.finish(), ranges);
        for address in [probes(one, more), probes(other, more)].concat() {
            let (value, run) = ranges.get(address);
            assert_eq!(value, naive(one, address));
            assert_eq!(ranges.look(address), (value, widest_prefix(address, run)));
            assert!(run.first <= address && address <= run.last);
            assert_eq!(both.get(address).0, (value, naive(other, address)));
            assert_eq!(halved.get(address).0, value / 2);
            check_widest(address, run);
        }
    }

    fn check_widest<A: Address>(address: A, run: Run<A>) {
        let within = |len: u8| {
            let block = address.block(len);
            run.first <= block.first && block.last <= run.last
        };
        let expect = (0..=A::BITS).find(|len| within(*len)).unwrap();
        assert_eq!(widest_prefix(address, run), expect, "{address:?} in {run:?}");
    }

    proptest! {
        #[test]
        fn v4_is_as_the_naive_model(
            one in blocks(v4), other in blocks(v4), more in prop::collection::vec(any::<u32>(), 8),
        ) {
            check_lookups(&one, &other, &more);
        }

        #[test]
        fn v6_is_as_the_naive_model(
            one in blocks(v6), other in blocks(v6), more in prop::collection::vec(any::<u128>(), 8),
        ) {
            check_lookups(&one, &other, &more);
        }

        #[test]
        fn the_widest_prefix_is_the_shortest_that_fits(
            mut ends in prop::array::uniform3(any::<u32>()),
        ) {
            ends.sort_unstable();
            check_widest(ends[1], Run { first: ends[0], last: ends[2] });
            let wide = ends.map(|it| u128::from(it) << 90 | u128::from(it));
            check_widest(wide[1], Run { first: wide[0], last: wide[2] });
        }
    }

    #[test]
    fn many_runs_are_indexed() {
        let blocks: Vec<_> = (0..u32::try_from(INDEXED_RUNS_MIN).unwrap())
            .map(|it| ((it << 20 | 0x40).block(28), u8::try_from(it % 3).unwrap()))
            .collect();
        let ranges = Ranges::from_blocks(9, blocks.clone());
        assert!(!ranges.index.cells.is_empty());
        check_shape(&ranges);
        for (block, value) in blocks {
            assert_eq!(ranges.get(block.first + 7).0, value);
        }
    }

    #[test]
    fn one_value_is_true_of_all() {
        let ranges = Ranges::<u32, u8>::uniform(7);
        let (value, run) = ranges.get(0xC000_0201);
        assert_eq!((value, widest_prefix(0xC000_0201, run)), (7, 0));
    }
}
