use std::sync::Mutex;

use weir_engine::event_loop::block_on;

use super::*;

/// A proposal waits for the check of a node whose link is up when the master speaks.
#[test]
fn a_proposal_passes_no_node_by_that_is_connected() {
    let names = ["a", "b"].map(|name| Name::new(name).unwrap());
    Hub::here().connect("b");
    for _ in 0..20 {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        let master: Master = Arc::new(move |ask: &Ask| {
            noted.lock().unwrap().push(format!("{ask:?}"));
            Ok(())
        });
        let plan = MirrorPlan { nodes: names.to_vec(), master: Some(master) };
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
