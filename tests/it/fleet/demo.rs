//! The fleet of `make fleet`.

use std::process::Command;

use crate::support::nats;

#[tokio::test]
#[ignore = "takes long: make prove"]
async fn a_save_of_the_demo_reaches_every_edge_and_everything_ends() {
    let mut demo = Command::new("python3");
    demo.args(["crates/demo/fleet.py", "--once", "--program", env!("CARGO_BIN_EXE_embedgate"), "--nats"]);
    demo.arg(nats::program());
    let ran = tokio::task::spawn_blocking(move || demo.output().unwrap()).await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{text}");
    for edge in ["edge-1", "edge-2", "edge-3"] {
        assert!(text.contains(&format!("ms  {edge}")), "{text}");
    }
}
