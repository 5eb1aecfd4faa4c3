#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;

use proptest::prelude::*;

use super::builder::{LeafSizes, TableBuilder};
use super::*;

type Model = HashMap<Vec<u8>, Vec<u8>>;

fn key(n: u32) -> Vec<u8> {
    format!("k{n}").into_bytes()
}

fn assert_same(table: &RecordTable, model: &Model) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().count(), model.len());
    for (key, bytes) in model {
        assert_eq!(table.get(key), Some((key.as_slice(), bytes.as_slice())));
    }
    assert!(table.iter().all(|(key, bytes)| model.get(key).is_some_and(|expected| expected == bytes)));
    assert_eq!(table.get(b"nobody"), None);
}

fn filled(records: &Model) -> RecordTable {
    let mut sizes = LeafSizes::of(3);
    for (n, (key, bytes)) in records.iter().enumerate() {
        sizes[n % 3].add(key, bytes.len());
    }
    let filling = TableBuilder::new(&sizes);
    assert!(records.iter().all(|(key, bytes)| filling.put(key, bytes)));
    assert!(!filling.put(b"not measured", &[0; 100]));
    filling.into_table()
}

fn insert(table: &mut RecordTable, records: &Model) {
    table.edit(records.iter().map(|(key, bytes)| (key.as_slice(), Some(bytes.as_slice()))).collect());
}

#[test]
fn filled_and_record_by_record_are_the_same() {
    for count in [0, 1, 2, 100, 40_000] {
        let model: Model = (0..count).map(|n| (key(n), vec![n as u8; n as usize % 300])).collect();
        assert_same(&filled(&model), &model);
        let mut at_once = RecordTable::default();
        insert(&mut at_once, &model);
        assert_same(&at_once, &model);
        let mut grown = RecordTable::default();
        model.iter().take(1000).for_each(|(key, bytes)| grown.edit(vec![(key, Some(bytes))]));
        let first: Model = model.iter().take(1000).map(|(key, bytes)| (key.clone(), bytes.clone())).collect();
        assert_same(&grown, &first);
    }
}

#[test]
fn a_leaf_may_be_larger_than_64_kib() {
    let model: Model = (0..200).map(|n| (key(n), vec![n as u8; 100_000 - n as usize])).collect();
    let mut table = filled(&model);
    assert_same(&table, &model);
    insert(&mut table, &model);
    assert_same(&table, &model);
}

proptest! {
    #[test]
    fn it_is_a_map_and_every_version_stays(
        batches in prop::collection::vec(
            prop::collection::hash_map(0..300_u32, prop::option::weighted(0.7, any::<Vec<u8>>()), 1..40),
            1..40,
        )
    ) {
        let (mut table, mut model) = (RecordTable::default(), Model::new());
        let mut versions = Vec::new();
        for (n, batch) in batches.into_iter().enumerate() {
            if n % 7 == 0 {
                versions.push((table.clone(), model.clone()));
            }
            let batch: HashMap<Vec<u8>, _> = batch.into_iter().map(|(n, bytes)| (key(n), bytes)).collect();
            table.edit(batch.iter().map(|(key, bytes)| (key.as_slice(), bytes.as_deref())).collect());
            for (key, bytes) in batch {
                match bytes {
                    Some(bytes) => model.insert(key, bytes),
                    None => model.remove(&key),
                };
            }
        }
        versions.push((table, model));
        for (table, model) in versions {
            assert_same(&table, &model);
        }
    }
}
