#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::*;
use crate::limits::clock::LimitClock;
use crate::limits::counter::Weight;

const WEBSOCKET: Weight = Weight { opens: 1, sessions: 1 };

fn key(number: u32) -> AddressKey {
    AddressKey::new(0, IpAddr::V4(Ipv4Addr::from_bits(number)))
}

fn add(table: &AddressTable, key: AddressKey, now: &Moment) -> AddressHandle {
    table.with(key, |used| used.add(now, WEBSOCKET, RUNS)).0
}

fn sessions(table: &AddressTable, key: AddressKey, now: &Moment) -> Option<u32> {
    table.with_present(&key, |used| used.used(now).sessions)
}

#[test]
fn a_network_of_64_bits_is_one_address() {
    let key = |text: &str| AddressKey::new(1, text.parse().unwrap());
    assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:2:ffff::1"));
    assert_ne!(key("2001:db8:1:2::3"), key("2001:db8:1:3::3"));
    assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    let other = AddressKey::new(2, "192.0.2.1".parse().unwrap());
    assert_ne!(key("192.0.2.1"), other);
}

#[test]
fn keys_of_a_shard_have_places_all_over_its_table() {
    let table = AddressTable::new(BYTES);
    let first = table.shard(&key(0));
    let of_first = (0..20_000).map(key).filter(|key| ptr::eq(table.shard(key), first));
    let places: HashSet<u64> = of_first.map(|key| table.hasher.hash_one(key) % 256).collect();
    assert!(places.len() > 128, "{}", places.len());
}

#[test]
fn memory_is_bounded_and_the_least_recently_used_are_forgotten() {
    let (table, now) = (AddressTable::new(SHARDS * 4096), LimitClock::new().now());
    let kept = key(1);
    for number in 0..20_000 {
        add(&table, key(number), &now);
        if number % 4 == 0 {
            add(&table, kept, &now);
        }
        if number % 1_000 == 0 {
            assert!(table.bytes() <= SHARDS * 4096);
        }
    }
    assert!(sessions(&table, kept, &now).unwrap() > 5_000, "one that comes again and again stays");
    assert_eq!(sessions(&table, key(2), &now), None);
    assert_eq!(sessions(&table, key(19_999), &now), Some(1));
    let mut counted = 0;
    table.for_each(|_, _| counted += 1);
    // The bound is used.
    assert!(counted * (COUNTER + 32) > SHARDS * 4096 / 2, "{counted}");
}

#[test]
fn the_accounting_follows_minutes_that_grow_and_shrink() {
    let (table, clock) = (AddressTable::new(BYTES), LimitClock::new());
    let now = clock.now();
    let at = |ms: u64| Moment { ms: now.ms + ms, ..now };
    for number in 0..100 {
        for ms in 0..300 {
            add(&table, key(number), &at(ms));
        }
    }
    let mut heap = 0;
    table.for_each(|_, used| heap += used.heap());
    assert_eq!(table.bytes(), 100 * COUNTER + heap);
    // A minute has at most so many runs.
    assert!((100 * RUNS * 8..=100 * 2 * RUNS * 8).contains(&heap), "{heap}");
    // Only the sessions are left, which keeps the counters.
    table.sweep(&at(100_000));
    assert!(table.bytes() >= 100 * COUNTER);
}

#[test]
fn as_many_addresses_have_room_as_the_documentation_says() {
    let (table, clock) = (AddressTable::new(BYTES), LimitClock::new());
    let now = clock.now();
    for number in 0..150_000 {
        add(&table, key(number), &now);
    }
    let mut counted = 0;
    table.for_each(|_, _| counted += 1);
    assert!(counted > 100_000, "{counted}");
    assert!(table.bytes() <= BYTES);
}

#[test]
fn what_is_forgotten_is_never_counted_against_somebody() {
    let (table, now) = (AddressTable::new(SHARDS * 400), LimitClock::new().now());
    let handle = add(&table, key(7), &now);
    for number in 100..10_000 {
        add(&table, key(number), &now);
    }
    assert_eq!(sessions(&table, key(7), &now), None);
    // A later one of the same address is another.
    let later = add(&table, key(7), &now);
    assert!(table.with_found(&handle, |used| used.give_back(0, now.day, WEBSOCKET)).is_none());
    assert_eq!(sessions(&table, key(7), &now), Some(1));
    assert!(table.with_found(&later, |used| used.give_back(now.ms, now.day, WEBSOCKET)).is_some());
    assert_eq!(sessions(&table, key(7), &now), Some(0));
}

#[test]
fn what_counts_nothing_is_swept() {
    let (table, clock) = (AddressTable::new(BYTES), LimitClock::new());
    let now = clock.now();
    let v6 = AddressKey::new(3, IpAddr::V6(Ipv6Addr::LOCALHOST));
    let handles: Vec<AddressHandle> =
        (0..1_000).map(key).chain([v6]).map(|key| add(&table, key, &now)).collect();
    for handle in &handles {
        table.with_found(handle, |used| used.give_back(now.ms, now.day, WEBSOCKET)).unwrap();
    }
    let open = add(&table, key(5_000), &now);
    table.sweep(&now);
    let mut left = Vec::new();
    table.for_each(|key, _| left.push(*key));
    assert_eq!(left, [open.key]);
}
