use std::os::unix::fs::PermissionsExt;

use super::*;

struct Scratch(Folder);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("weir-identity-{}-{name}", std::process::id());
        Self(Folder::at(std::env::temp_dir().join(name).join("ha")))
    }

    fn change(&self, file: &str, content: &str) {
        fs::write(self.0.0.join(file), content).unwrap();
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.0.join(file)).unwrap().mode() & 0o777
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.0.parent().unwrap());
    }
}

fn peer(name: &str) -> Peer {
    let Identity { name, certificate, .. } = Identity::new(name, None).unwrap();
    Peer { name, certificate }
}

#[test]
fn an_identity_is_read_as_written() {
    let scratch = Scratch::new("read");
    assert!(!scratch.0.is_made());
    assert!(matches!(scratch.0.read(), Err(FolderError::Missing(_))));
    let mut identity = Identity::new("a", None).unwrap();
    identity.peers = vec![peer("b"), peer("c")];
    identity.invite("10.0.0.1:7946".parse().unwrap(), 1000, 900).unwrap();
    scratch.0.write(&identity).unwrap();
    assert_eq!(scratch.0.read().unwrap(), identity);
    for (file, mode) in [("", 0o700), ("peers", 0o700), ("key.pem", 0o600), ("pair", 0o600)] {
        assert_eq!(scratch.mode(file), mode, "{file}");
    }
    scratch.0.unpin("b").unwrap();
    scratch.0.unpin("b").unwrap();
    identity.peers.remove(0);
    // A copy of the user's, and a file that is being written.
    scratch.change("peers/b.pem.old", "");
    scratch.change("peers/b.pem.new", "");
    assert_eq!(scratch.0.read().unwrap(), identity);
    scratch.0.remove().unwrap();
    assert!(!scratch.0.is_made());
    assert_eq!(fs::read_dir(&scratch.0.0).unwrap().count(), 1, "the folder of pins stays");
    scratch.0.remove().unwrap();
}

#[test]
fn an_identity_without_its_name_is_none() {
    let scratch = Scratch::new("order");
    scratch.0.write(&Identity::new("a", None).unwrap()).unwrap();
    fs::remove_file(scratch.0.0.join("node")).unwrap();
    assert!(!scratch.0.is_made(), "an init that was killed is made again");
    scratch.0.write(&Identity::new("b", None).unwrap()).unwrap();
    assert_eq!(scratch.0.read().unwrap().name, "b");
}

#[test]
fn rights_of_others_are_refused() {
    let scratch = Scratch::new("rights");
    scratch.0.write(&Identity::new("a", None).unwrap()).unwrap();
    for (file, open, closed) in [("key.pem", 0o640, 0o600), ("", 0o701, 0o700)] {
        let path = scratch.0.0.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let text = scratch.0.read().unwrap_err().to_string();
        assert!(text.contains("may be used by others") && text.contains("chmod go="), "{text}");
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
    }
    assert!(scratch.0.read().is_ok());
}

#[test]
fn damaged_files_are_named() {
    let other = Identity::new("a", None).unwrap();
    for (file, content) in [
        ("node", "../../etc"),
        ("pair", "12"),
        ("key.pem", "no key"),
        ("key.pem", &other.key),
        ("peers/b.pem", "no certificate"),
        ("invitation", "no invitation"),
        ("certificate.pem", &"x".repeat(70_000)),
    ] {
        let scratch = Scratch::new("damage");
        scratch.0.write(&Identity::new("a", None).unwrap()).unwrap();
        scratch.change(file, content);
        let text = scratch.0.read().unwrap_err().to_string();
        assert!(text.contains("is damaged"), "{file}: {text}");
    }
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let scratch = Scratch::new("names");
    scratch.0.make().unwrap();
    scratch.change("node.pem", "");
    scratch.0.unpin("../node").unwrap();
    assert!(scratch.0.0.join("node.pem").exists());
    scratch.0.pin(&Peer { name: "../key".to_owned(), certificate: String::new() }).unwrap();
    assert!(!scratch.0.0.join("key.pem").exists());
}
