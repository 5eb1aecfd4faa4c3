//! The instructions that a request costs, part by part and as a whole, counted by valgrind: figures that repeat on a
//! busy machine. `make instructions` holds them against `baseline.json`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program of its own"
)]

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

mod asking;
mod judging;
mod over_http2;
mod served;
mod writing;

use asking::requests;
use judging::verdict;
use writing::headers;

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

main!(
    // Instructions alone: caches are another machine's.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [verdict, headers, requests]
);
