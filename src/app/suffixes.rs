//! Public suffix list of the edge.

use std::sync::Arc;

use super::AppError;
use crate::config::Settings;
use embedgate_policy::suffix::PublicSuffixes;

/// The public suffix list of the settings, or the one compiled in.
///
/// # Errors
///
/// The file can't be read or is not a public suffix list.
pub fn public_suffixes(settings: &Settings) -> Result<Arc<PublicSuffixes>, AppError> {
    let Some(path) = &settings.policy.public_suffix_list else {
        return Ok(Arc::new(PublicSuffixes::shipped().clone()));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| AppError::Unreadable { path: path.clone(), source })?;
    let suffixes = PublicSuffixes::parse(&text);
    suffixes.map(Arc::new).map_err(|source| AppError::Suffixes { path: path.clone(), source })
}
