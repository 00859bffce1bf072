//! Previews: what would follow from an act of an operator, as it is told.
//!
//! Not here: how that is foreseen (`state::foresee`).

use serde::Serialize;
use utoipa::ToSchema;

use crate::state::{Foreseen, NameForeseen, RegionForeseen, Turn};

/// What would follow from an override or a dial that was not set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// Every region, in the order of their names.
    regions: Vec<RegionPreview>,
    /// Names whose clients would be given something else, at most 100.
    names: Vec<NamePreview>,
    /// How many more there are.
    more_names: usize,
}

/// What would follow for a region.
#[derive(Debug, Serialize, ToSchema)]
struct RegionPreview {
    /// Its name.
    #[schema(example = "us-east-1")]
    region: String,
    /// Its share of the clients of the names that would give something else, each of which counts
    /// alike, from 0 to 1.
    share: Before<f64>,
    /// What it is given of the demand of names, in the operator's unit.
    load: Before<Option<f64>>,
    /// What it can take, in the same unit.
    capacity: Before<Option<f64>>,
}

/// What would follow for a name.
#[derive(Debug, Serialize, ToSchema)]
struct NamePreview {
    /// It.
    #[schema(example = "www.example.com.")]
    name: String,
    /// Its pools, once for each address family.
    pools: Vec<PoolPreview>,
}

/// What would follow for a pool and an address family.
#[derive(Debug, Serialize, ToSchema)]
struct PoolPreview {
    /// The type of the records.
    #[schema(example = "A")]
    family: String,
    /// Its name.
    #[schema(example = "us-east-1")]
    pool: String,
    /// Its share of all clients of the name, from 0 to 1.
    share: Before<f64>,
}

/// What something is, and what it would be.
#[derive(Debug, Serialize, ToSchema)]
struct Before<T> {
    /// What it is.
    before: T,
    /// What it would be.
    after: T,
}

impl Preview {
    pub(super) fn of(foreseen: &Foreseen) -> Self {
        Self {
            regions: foreseen.regions.iter().map(RegionPreview::of).collect(),
            names: foreseen.names.iter().map(NamePreview::of).collect(),
            more_names: foreseen.more_names,
        }
    }
}

impl RegionPreview {
    fn of(it: &RegionForeseen) -> Self {
        Self {
            region: it.region.to_string(),
            share: it.share.into(),
            load: it.load.into(),
            capacity: it.capacity.into(),
        }
    }
}

impl NamePreview {
    fn of(it: &NameForeseen) -> Self {
        let pools = it.shares.iter().map(|(family, pool, share)| PoolPreview {
            family: family.rtype().to_string(),
            pool: pool.to_string(),
            share: (*share).into(),
        });
        Self { name: it.name.to_string(), pools: pools.collect() }
    }
}

impl<T> From<Turn<T>> for Before<T> {
    fn from(Turn { before, after }: Turn<T>) -> Self {
        Self { before, after }
    }
}
