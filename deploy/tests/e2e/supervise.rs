//! G7: a part of the node that ends, ends the process, with a non-zero exit code and a line that names it.

use super::harness::*;
use super::kill::program;

/// A node whose parts can be told to end.
fn failing_node(world: &World) -> Node {
    let metrics = thunder_deploy::ports::free().unwrap();
    let mut node = world.node_with(&["--metrics", &format!("127.0.0.1:{metrics}")]);
    node.kill();
    node.run_failing(program());
    node.start();
    node
}

#[test]
fn a_task_that_returns_or_panics_ends_the_process_with_a_line_that_names_it() {
    let world = World::bare();
    let mut node = failing_node(&world);
    for part in [
        "the chain task",
        "the server of the local socket",
        "the server of the metrics",
        "the upkeep of the metrics",
    ] {
        for (how, said) in [("return", ""), ("panic", ", by a panic (")] {
            node.tell(part, how);
            wait_for(&format!("{part}: {how}"), || !node.is_running());
            assert_eq!(node.wait_end().code(), Some(1), "{part}: {how}");
            let error = format!("error: {part} ended by itself{said}");
            node.wait_logged(&error);
            assert_eq!(node.log().matches("error: ").count(), 1, "{}", node.log());
            node.forget_log();
            node.start();
        }
    }
}

#[test]
fn a_panic_of_the_loop_ends_the_process_with_a_line_that_names_it() {
    let world = World::new();
    let mut node = failing_node(&world);
    node.ok(&["importwallet", PHRASE]);
    node.tell("commit-before", "panic");
    // It notes how far the chain was read.
    world.mine(20);
    wait_for("it ends", || !node.is_running());
    assert_eq!(node.wait_end().code(), Some(1));
    node.wait_logged("error: the node's loop ended by itself, by a panic");
}

#[test]
fn a_panic_in_a_call_is_answered_and_ends_nothing() {
    let world = World::new();
    let node = failing_node(&world);
    node.ok(&["importwallet", PHRASE]);
    node.tell("client-call", "panic");
    let error = node.refused(&["infos"], 1, "internal");
    assert!(error["message"].as_str().unwrap().contains("panic"), "{error}");
    node.infos();
    // Whether such a call has changed anything is not known.
    node.tell("client-call", "panic");
    node.refused(&["connect", "127.0.0.1:1"], 6, "timeout");
    node.wait_logged("panicked at");
    node.infos();
}
