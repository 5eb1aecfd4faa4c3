//! Products as others build them, unchanged, in front of a real browser: each behind the edge as docs/integrations.md
//! configures it. `make integrations` installs and runs them; they are large. What needs none of them runs always.

use std::time::Duration;

mod chainlit;
mod gradio;
mod guide;
mod product;
mod recipe;
mod scene;
mod streamlit;
mod token;

/// More than a product takes to load and to answer, on a busy machine, too.
const SOON: Duration = Duration::from_secs(30);

/// The line of a recipe that lets iframes work which know nothing of tickets.
const COOKIE: &str = "cookie = \"partitioned\"";
const NO_COOKIE: &str = "cookie = \"off\"";
