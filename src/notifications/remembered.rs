//! Sessions that leave the edge: an upstream has named them, and their media goes elsewhere. They are remembered with their
//! embedder, so that the media server can be told once the rules deny it.
