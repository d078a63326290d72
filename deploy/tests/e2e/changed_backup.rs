//! Backups that somebody has changed, with a checksum that is right again (rule 9).

use alloy_primitives::keccak256;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use thunder_protocol::{Address, Amount, Channel, Crypto, Payment, Signer, backup_digest};

use super::harness::*;

const UNSIGNED: &[u8] = b"thunder backup 1\n";
const SIGNED: &[u8] = b"thunder backup 2\n";
/// The hash of the content, the wallet and its signature.
const SEAL: usize = 32 + 20 + 65;

/// The content as thunderd wrote it before there were signatures.
fn unsigned(content: &[u8]) -> Vec<u8> {
    [UNSIGNED, keccak256(content).as_slice(), content].concat()
}

/// The content with the signature of a development account.
fn signed(content: &[u8], index: u32) -> Vec<u8> {
    let path = format!("m/44'/60'/0'/0/{index}");
    let key = thunder_chain::keys::from_phrase(PHRASE, &path).unwrap();
    let signer = Signer::new(key.expose(), &[1; 32]).unwrap();
    let hash = keccak256(content);
    let signature = signer.sign(&backup_digest(hash));
    [SIGNED, hash.as_slice(), signer.address().as_slice(), signature.as_bytes(), content].concat()
}

/// A user with a channel over which both have paid, whose disk is lost, and the backup. Its partner is
/// away: with its help a lost channel would end at once.
struct Scene {
    _world: World,
    alice: Node,
    wallet: Address,
    peer_id: String,
    channel: Address,
    place: TempDir,
    /// What is in the backup.
    content: Vec<u8>,
    /// The whole backup.
    backup: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (alice, mut bob, channel) = world.channel();
        alice.pay("4");
        bob.pay("1");
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("backup");
        alice.ok(&["backup", file.to_str().unwrap()]);
        bob.kill();
        let backup = std::fs::read(file).unwrap();
        let content = backup[SIGNED.len() + SEAL..].to_vec();
        let (wallet, peer_id) = (alice.wallet(), alice.peer_id());
        let mut scene = Self { _world: world, alice, wallet, peer_id, channel, place, content, backup };
        scene.lose_the_disk();
        scene
    }

    fn lose_the_disk(&mut self) {
        self.alice.kill();
        self.alice.data = TempDir::new().unwrap();
        self.alice.start();
    }

    fn file(&self, content: &[u8]) -> String {
        let file = self.place.path().join("changed");
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// The content of the backup, changed.
    fn changed(&self, change: impl FnOnce(&Connection)) -> Vec<u8> {
        let path = self.place.path().join("database");
        std::fs::write(&path, &self.content).unwrap();
        let database = Connection::open(&path).unwrap();
        change(&database);
        database.close().unwrap();
        std::fs::read(path).unwrap()
    }

    /// The content of the backup with another state of the channel.
    fn with_state(&self, change: impl FnOnce(&mut Channel)) -> Vec<u8> {
        self.changed(|database| {
            let state: Vec<u8> =
                database.query_row("SELECT state FROM channels", [], |row| row.get(0)).unwrap();
            let none = |_| Ok::<Vec<Payment>, thunder_protocol::codec::CodecError>(Vec::new());
            let mut channel = Channel::decode(&state, none).unwrap();
            change(&mut channel);
            database.execute("UPDATE channels SET state = ?1", params![channel.encode().unwrap()]).unwrap();
        })
    }

    /// It is refused, and nothing is changed. Returns the whole error.
    fn refused(&self, backup: &[u8], flags: &[&str]) -> String {
        let before = self.alice.peer_id();
        let file = self.file(backup);
        let arguments = [&["restore", &file], flags].concat();
        let error = self.alice.refused(&arguments, 1, "invalid_backup");
        let left = std::fs::read_dir(self.alice.data.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let is_scratch = |name: &String| name.starts_with("backup-scratch") || name == "restored";
        assert!(!left.iter().any(is_scratch), "{left:?}");
        assert_eq!(self.alice.peer_id(), before);
        error.to_string()
    }
}

/// What a restored channel is, its state decides, whatever the columns say.
#[test]
fn rule_9_a_channel_comes_back_lost_whatever_columns_triggers_and_views_say() {
    let mut scene = Scene::new();
    let columns = "UPDATE channels SET is_over = 1, pending_from = 1000000, wallet = x'00', partner = x'00', address = x'00'";
    let trigger = "CREATE TRIGGER again AFTER UPDATE ON channels WHEN new.state <> old.state
        BEGIN UPDATE channels SET state = old.state WHERE id = old.id; END";
    let others = "CREATE TABLE more (x); CREATE INDEX less ON payments (memo) WHERE memo > '';
        CREATE VIEW seen AS SELECT * FROM payments; CREATE TRIGGER seen_too INSTEAD OF INSERT ON seen
            BEGIN DELETE FROM channels; END;
        INSERT INTO transactions VALUES (x'00', x'00', 'Close', '{}')";
    for change in [columns, trigger, others] {
        let content = scene.changed(|database| database.execute_batch(change).unwrap());
        for (backup, is_signed) in [(unsigned(&content), false), (signed(&content, 1), true)] {
            scene.lose_the_disk();
            let restored = scene.alice.ok(&["restore", &scene.file(&backup), "--unsigned"]);
            assert_eq!((&restored["signed"], &restored["channels"]), (&is_signed.into(), &1.into()));
            assert_eq!(address(&restored["wallet"]), scene.wallet);
            let alice = &mut scene.alice;
            wait_for_the_node(alice, &scene.peer_id);
            alice.ok(&["importwallet", PHRASE, "--index", "1"]);
            wait_for("it shows the channel", || !alice.channel(scene.channel).is_null());
            let info = alice.channel(scene.channel);
            assert!(info["next_text"].as_str().unwrap().contains("data was lost"), "{change}: {info}");
            assert_eq!((&info["mine"], &info["nonce"]), (&"7".into(), &2.into()));
            assert_eq!(alice.history().len(), 2);
            alice.kill();
            let database = Connection::open(alice.data.path().join("thunder.db")).unwrap();
            let foreign = "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view') OR name IN ('more', 'less')";
            let foreign: u32 = database.query_row(foreign, [], |row| row.get(0)).unwrap();
            assert_eq!(foreign, 0, "{change}");
        }
    }
}

/// A backup is what the wallet has signed.
#[test]
fn rule_9_a_backup_that_the_wallet_has_not_signed_is_refused_and_changes_nothing() {
    let mut scene = Scene::new();
    let wallet = scene.wallet.to_string();
    let changed =
        scene.changed(|database| database.execute_batch("UPDATE channels SET is_over = 1").unwrap());
    // With the signature of what was there before.
    let mut old = scene.backup.clone();
    old.truncate(SIGNED.len() + SEAL);
    old[SIGNED.len()..][..32].copy_from_slice(keccak256(&changed).as_slice());
    let said = scene.refused(&[old, changed.clone()].concat(), &["--unsigned"]);
    assert!(said.contains("signature"), "{said}");
    // With none, which takes the user's word.
    let said = scene.refused(&unsigned(&changed), &[]);
    assert!(said.contains("not signed") && said.contains("--unsigned"), "{said}");
    // By somebody else, who can sign, but not for this wallet.
    for content in [&scene.content, &changed] {
        let said = scene.refused(&signed(content, 7), &["--unsigned"]);
        assert!(
            said.contains(&wallet) && said.contains("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
            "{said}"
        );
    }
    // The real one is as good as ever.
    let restored = scene.alice.ok(&["restore", &scene.file(&scene.backup)]);
    assert_eq!((address(&restored["wallet"]), &restored["signed"]), (scene.wallet, &true.into()));
    wait_for_the_node(&scene.alice, &scene.peer_id);
    scene.alice.kill();
}

/// On the user's word a backup without a signature is restored, but nobody can invent what is in it.
#[test]
fn rule_9_an_unsigned_backup_has_receipts_that_both_have_signed_and_values_that_can_be() {
    let scene = Scene::new();
    let forged = scene.with_state(|channel| {
        let Channel::Active(active) = channel else { panic!("not active") };
        active.common.receipts.agreed.receipt.balances.a = Amount::ZERO;
    });
    let swapped = scene.with_state(|channel| {
        let Channel::Active(active) = channel else { panic!("not active") };
        let signatures = active.common.receipts.agreed.signatures.as_mut().unwrap();
        signatures.a = signatures.b;
    });
    for content in [forged, swapped] {
        let said = scene.refused(&unsigned(&content), &["--unsigned"]);
        assert!(
            said.contains("signatures of both sides") && said.contains(&scene.channel.to_string()),
            "{said}"
        );
    }
    for change in [
        "UPDATE channels SET state = x'00'",
        "UPDATE channels SET state = 'text'",
        "UPDATE channels SET state = zeroblob(2000000)",
        "UPDATE channels SET genesis = x'00'",
        "UPDATE channels SET first_block = -1",
        "UPDATE channels SET created = 'now'",
        "UPDATE payments SET outgoing = 2",
        "UPDATE payments SET amount = zeroblob(17)",
        "UPDATE payments SET memo = printf('%.*c', 5000, 'x')",
        "UPDATE payments SET payment_id = 'two words' WHERE outgoing = 1",
        "UPDATE payments SET nonce = -1",
        "UPDATE payments SET time = -1",
        "PRAGMA foreign_keys = OFF; UPDATE payments SET channel = 99",
        "UPDATE meta SET value = x'00' WHERE key = 'genesis'",
        "UPDATE peers SET peer_id = x'00'",
        "DROP TABLE peers",
        "ALTER TABLE payments RENAME TO paid; CREATE VIEW payments AS SELECT * FROM paid",
        "ALTER TABLE backup_files RENAME TO files; CREATE VIEW backup_files AS SELECT * FROM files",
        "UPDATE backup_files SET content = zeroblob(70000) WHERE name = 'wallet.json'",
        "DELETE FROM backup_files WHERE name = 'node.key'",
        "UPDATE backup_files SET content = x'00' WHERE name = 'node.key'",
        "UPDATE backup_files SET content = x'00' WHERE name = 'wallet.json'",
        "INSERT INTO backup_files VALUES ('../evil', x'00')",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 99",
    ] {
        let content = scene.changed(|database| database.execute_batch(change).unwrap());
        let said = scene.refused(&unsigned(&content), &["--unsigned"]);
        assert!(!said.contains("signatures of both sides"), "{change}: {said}");
    }
}
