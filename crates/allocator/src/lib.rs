//! Allocator of embedgate: mimalloc, and the one call to it that its Rust interface does not have. The rest of the workspace
//! forbids `unsafe`; this crate has nothing else in it.
#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

pub use mimalloc::MiMalloc;

/// Gives back memory of this thread that nothing uses any more, also what other threads have freed of it. Without this, a
/// thread keeps it until it allocates more of the same size.
pub fn collect() {
    // SAFETY: it takes no pointer, may be called by any thread at any time, and does not touch memory that is in use.
    unsafe { libmimalloc_sys::mi_collect(false) }
}
