use std::sync::Mutex;

use weir_engine::event_loop::block_on;

use super::*;

/// Tests that use the master's messages, one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// What the master says before a mirror is for an earlier one, and what it says after that for it.
#[test]
fn a_mirror_is_told_what_came_since_the_master_began_it() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let [a, b] = ["a", "b"].map(|name| Name::new(name).unwrap());
    tell(Tell::Stored(1));
    tell(Tell::Begin { me: a.clone(), held: None });
    tell(Tell::Stored(2));
    let waits = async |name: Option<&Name>| {
        tokio::select! {
            biased;
            () = inbox::begins(name) => false,
            () = timer::sleep(Duration::from_millis(1)) => true,
        }
    };
    block_on(async {
        assert!(waits(None).await && waits(Some(&b)).await && !waits(Some(&a)).await);
        assert!(inbox::begin(&b).is_none() && inbox::has_begun(&a));
        assert!(inbox::begin(&a).is_some() && waits(Some(&a)).await);
        assert!(matches!(told().await, Tell::Stored(2)));
    });
}

/// A proposal waits for the check of a node whose link is up when the master speaks.
#[test]
fn a_proposal_passes_no_node_by_that_is_connected() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    Hub::here().connect("b");
    for _ in 0..20 {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let master: Master = Arc::new(move |ask: &Ask| {
            noted.lock().unwrap().push(format!("{ask:?}"));
            Ok(())
        });
        let plan = MirrorPlan { nodes: names.to_vec(), master: Some(master), has_addresses: false };
        let mut carrier = Carrier::new((names[0].clone(), None), [0; 16], Arc::new(plan));
        let bytes: Arc<[u8]> = Arc::from(&b"a set"[..]);
        tell(Tell::Propose { number: 1, digest: [1; 32], signature: vec![1], bytes });
        block_on(async {
            tokio::select! {
                () = carrier.run() => {}
                () = timer::sleep(Duration::from_millis(1)) => {}
            }
        });
        assert_eq!(*asked.lock().unwrap(), Vec::<String>::new(), "put in force unchecked");
    }
}

/// An owner that has nothing any more.
struct Empty;

impl Owner for Empty {
    fn all(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        Vec::new()
    }

    fn keeps(&self, _: &[u8]) -> bool {
        true
    }

    fn apply(&self, _: &[u8], _: Option<&[u8]>) {}
}

#[test]
fn what_an_owner_has_is_later_than_what_it_noted() {
    shared_records::set_owner(Theme::Sticky, &Empty);
    let plan =
        MirrorPlan { nodes: vec![Name::new("a").unwrap()], master: None, has_addresses: false };
    let mut carrier = Carrier::new((Name::new("a").unwrap(), None), [0; 16], Arc::new(plan));
    block_on(async {
        carrier.tick();
        shared_records::note(Theme::Sticky, b"group\0session", Some(b"peer"));
        shared_records::recheck();
        carrier.tick();
    });
    assert!(carrier.mirror.records().all(|(key, _)| key.kind != Kind::Sticky));
}
