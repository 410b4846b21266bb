//! What posted calls leave behind: nothing.

use asynchat::Reactor;

#[test]
fn a_flood_of_posted_calls_gives_its_memory_back() {
    let mut reactor = Reactor::new().unwrap();
    let handle = reactor.handle();
    let mut flood = |posts: usize| {
        for _ in 0..posts {
            handle.call_soon(|_| Ok(())).unwrap();
        }
        while handle.posted() > 0 {
            reactor.turn(None).unwrap();
        }
    };
    flood(1);
    let before = util::heap::live();
    flood(300_000);
    let kept = util::heap::live() - before;
    assert!(kept <= 128 * 1024, "{kept} bytes");
}
