//! What clients do: [`lookups`] at a rate per node, and [`storage`]: puts and gets, with a model of what was promised.

pub mod lookups;
pub mod storage;
