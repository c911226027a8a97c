use super::*;

fn entry(tenant: Option<&str>, object: &str) -> Entry {
    Entry {
        at: Timestamp(7),
        actor_kind: ActorKind::System,
        actor: "system".into(),
        actor_name: "system".into(),
        tenant: tenant.map(|t| t.parse().unwrap()),
        action: "test".into(),
        object_kind: "none".into(),
        object: object.into(),
        object_name: String::new(),
        result: "done".into(),
        detail: Detail::None,
        request_id: String::new(),
        from_ip: String::new(),
    }
}

fn chain(n: i64) -> Vec<Row> {
    let mut prev = FIRST_PREV.to_owned();
    (1..=n)
        .map(|seq| {
            let row = Row::new(seq, &prev, entry(Some("acme"), &seq.to_string()));
            prev.clone_from(&row.hash);
            row
        })
        .collect()
}

/// Links and hashes everything anew, as somebody does who knows how and has the database.
fn rewritten(mut rows: Vec<Row>) -> Vec<Row> {
    let mut prev = FIRST_PREV.to_owned();
    for (row, seq) in rows.iter_mut().zip(1..) {
        row.seq = seq;
        row.prev_hash = std::mem::take(&mut prev);
        row.hash = hex::encode(row.computed());
        prev.clone_from(&row.hash);
    }
    rows
}

fn check(rows: &[Row], signed: Option<Checkpoint>) -> Verified {
    let mut checker = Checker::new("tenants/acme", signed);
    rows.iter().all(|row| checker.take(row));
    checker.finish(rows.len() as i64)
}

fn signed(rows: &[Row]) -> Checkpoint {
    let mut tree = Tree::default();
    rows.iter().for_each(|row| tree.push(row.hash.as_bytes()));
    Checkpoint { origin: "x/tenants/acme".into(), size: tree.size(), root: tree.root() }
}

#[test]
fn a_whole_chain_holds_and_goes_on_after_a_checkpoint() {
    let rows = chain(5);
    for n in 0..=5 {
        assert_eq!(check(&rows, Some(signed(&rows[..n]))).broken, None, "{n}");
    }
    assert_eq!(check(&rows, None).records, 5);
}

#[test]
fn each_column_is_under_the_hash() {
    let changes: [fn(&mut Row); 16] = [
        |r| r.at += 1,
        |r| r.tenant = None,
        |r| r.tenant = Some("acm".into()),
        |r| r.actor_kind = "key".into(),
        |r| r.actor = "x".into(),
        |r| r.actor_name = "x".into(),
        |r| r.action = "x".into(),
        |r| r.object_kind = "x".into(),
        |r| r.object = "x".into(),
        |r| r.object_name = "x".into(),
        |r| r.result = "refused".into(),
        |r| r.detail = "x".into(),
        |r| r.request_id = "x".into(),
        |r| r.from_ip = "x".into(),
        |r| r.chain = "platform".into(),
        |r| r.first_entry = Some(String::new()),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut rows = chain(3);
        change(&mut rows[1]);
        assert_eq!(check(&rows, None).broken, Some(Broken::Changed { seq: 2 }), "change {i}");
    }
}

/// Or a changed record and its link would be enough, and everything after them could stay.
#[test]
fn the_hash_of_the_record_before_is_under_the_hash() {
    let mut rows = chain(3);
    rows[0].object = "x".into();
    rows[0].hash = hex::encode(rows[0].computed());
    rows[1].prev_hash = rows[0].hash.clone();
    assert_eq!(check(&rows, None).broken, Some(Broken::Changed { seq: 2 }));
}

/// What one field loses the next one cannot gain.
#[test]
fn the_border_between_two_fields_is_under_the_hash() {
    let mut a = chain(1).remove(0);
    let mut b = a.clone();
    (a.action, a.object_kind) = ("run".into(), ".launch".into());
    (b.action, b.object_kind) = ("run.".into(), "launch".into());
    assert_ne!(a.computed(), b.computed());
}

#[test]
fn swapped_inserted_and_missing_records_are_found() {
    let mut swapped = chain(5);
    swapped.swap(1, 2);
    (swapped[1].seq, swapped[2].seq) = (2, 3);
    assert_eq!(check(&swapped, None).broken, Some(Broken::Unlinked { seq: 2 }));
    let mut inserted = chain(5);
    inserted.insert(2, inserted[1].clone());
    assert_eq!(check(&inserted, None).broken, Some(Broken::Gap { missing: 3 }));
    let mut missing = chain(5);
    missing.remove(1);
    assert_eq!(check(&missing, None).broken, Some(Broken::Gap { missing: 2 }));
    let mut checker = Checker::new("tenants/acme", None);
    chain(2).iter().for_each(|row| assert!(checker.take(row)));
    assert_eq!(checker.finish(3).broken, Some(Broken::Gap { missing: 3 }), "the counter knows of three");
    let mut checker = Checker::new("tenants/acme", None);
    chain(2).iter().for_each(|row| assert!(checker.take(row)));
    assert_eq!(checker.finish(1).broken, Some(Broken::Added { seq: 2 }));
}

#[test]
fn only_a_checkpoint_finds_an_end_that_is_gone_and_a_chain_that_was_written_anew() {
    let rows = chain(5);
    let was = Some(signed(&rows));
    assert_eq!(check(&rows[..3], None).broken, None);
    assert_eq!(check(&rows[..3], was.clone()).broken, Some(Broken::CutOff { signed: 5, found: 3 }));
    let mut forged = rows.clone();
    forged[1].object = "x".into();
    let forged = rewritten(forged);
    assert_eq!(check(&forged, None).broken, None);
    assert_eq!(check(&forged, was.clone()).broken, Some(Broken::Rewritten { signed: 5 }));
    let mut longer = rows.clone();
    longer.insert(0, rows[0].clone());
    assert_eq!(check(&rewritten(longer), was).broken, Some(Broken::Rewritten { signed: 5 }));
}
