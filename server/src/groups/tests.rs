//! The rules of a group, one test each; and random lives of groups against what must always hold. The rules
//! of members are in `tests/members`.

mod members;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use strandline_protocol::wire::ErrorCode;

use super::*;

const SESSION: i32 = 10_000;
const REBALANCE: i32 = 60_000;
const DELAY: i64 = 3000;

/// A group, the clock, and every answer that it gave.
struct Room {
    group: ClassicGroup,
    now: i64,
    next_ticket: Ticket,
    joined: HashMap<Ticket, Joined>,
    synced: HashMap<Ticket, Synced>,
    stores: Vec<Store>,
    /// Whether what is to be stored is durable at once.
    stores_at_once: bool,
}

impl Room {
    fn new() -> Room {
        Room::with(GroupSettings { initial_rebalance_delay_ms: DELAY, size_max: usize::MAX })
    }

    fn with(settings: GroupSettings) -> Room {
        Room::of(ClassicGroup::new(0, settings))
    }

    fn of(group: ClassicGroup) -> Room {
        Room {
            group,
            now: 0,
            next_ticket: 0,
            joined: HashMap::new(),
            synced: HashMap::new(),
            stores: Vec::new(),
            stores_at_once: true,
        }
    }

    /// A group of one that has joined; what it stores waits to be told what became of it.
    fn unstored() -> (Room, Joined) {
        let mut room = Room::new();
        room.stores_at_once = false;
        let ticket = room.join(member("a"));
        room.pass(DELAY);
        let joined = room.joined[&ticket].clone();
        (room, joined)
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn take(&mut self, effects: Effects) {
        for (ticket, joined) in effects.joined {
            assert!(self.joined.insert(ticket, joined).is_none(), "join {ticket} is answered twice");
        }
        for (ticket, synced) in effects.synced {
            assert!(self.synced.insert(ticket, synced).is_none(), "sync {ticket} is answered twice");
        }
        for store in effects.stores {
            let id = store.id;
            self.stores.push(store);
            if self.stores_at_once {
                self.stored(id, Ok(()));
            }
        }
    }

    fn stored(&mut self, id: StoreId, result: Result<(), ErrorCode>) {
        let mut effects = Effects::default();
        self.group.stored(self.now, id, result, &mut effects);
        self.take(effects);
    }

    fn join(&mut self, join: Join) -> Ticket {
        let ticket = self.ticket();
        let mut effects = Effects::default();
        self.group.join(self.now, ticket, join, &mut effects);
        self.take(effects);
        ticket
    }

    fn sync(&mut self, who: &Joined, assignments: &[(&str, &str)]) -> Ticket {
        let ticket = self.ticket();
        let assignments = assignments
            .iter()
            .map(|(id, assignment)| ((*id).to_owned(), Bytes::copy_from_slice(assignment.as_bytes())));
        let sync = Sync { identity: identity(who), assignments: assignments.collect(), ..Sync::default() };
        let mut effects = Effects::default();
        self.group.sync(self.now, ticket, sync, &mut effects);
        self.take(effects);
        ticket
    }

    fn heartbeat(&mut self, who: &Joined) -> Result<(), ErrorCode> {
        self.group.heartbeat(self.now, &identity(who))
    }

    fn leave(&mut self, who: Identity) -> Result<(), ErrorCode> {
        let mut effects = Effects::default();
        let left = self.group.leave(self.now, &[who], &mut effects).unwrap().remove(0);
        self.take(effects);
        left
    }

    /// Moves the clock, and wakes the group whenever it wants to be.
    fn pass(&mut self, milliseconds: i64) {
        let until = self.now + milliseconds;
        let mut ticks = 0;
        while self.group.wake_at() <= until {
            ticks += 1;
            assert!(ticks < 100_000, "something is due and is never done");
            self.now = self.now.max(self.group.wake_at());
            let mut effects = Effects::default();
            self.group.tick(self.now, &mut effects);
            self.take(effects);
        }
        self.now = until;
    }

    /// A stable group of these members; what each was told.
    fn stable(&mut self, ids: &[&str]) -> Vec<Joined> {
        let tickets: Vec<_> = ids.iter().map(|id| self.join(member(id))).collect();
        self.pass(2 * DELAY);
        self.finish(tickets)
    }

    /// Brings a rebalance to its end in which everybody has joined.
    fn finish(&mut self, tickets: Vec<Ticket>) -> Vec<Joined> {
        let joined: Vec<_> = tickets.iter().map(|ticket| self.joined[ticket].clone()).collect();
        for who in &joined {
            assert_eq!(who.error, ErrorCode::None);
            let assignments: Vec<_> = who
                .members
                .iter()
                .map(|other| (other.member_id.as_str(), other.member_id.as_str()))
                .collect();
            self.sync(who, &assignments);
        }
        assert_eq!(self.group.state(), State::Stable);
        joined
    }

    fn state(&self) -> State {
        self.group.state()
    }

    fn ids(&self) -> Vec<String> {
        self.group.describe().members.into_iter().map(|member| member.member_id).collect()
    }
}

fn protocols(names: &[&str]) -> Vec<Protocol> {
    let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t");
    names.iter().map(|name| Protocol { name: (*name).to_owned(), metadata: metadata.clone() }).collect()
}

/// A client of an old version, which is in at once, as `id`.
fn member(id: &str) -> Join {
    Join {
        client_id: "client".to_owned(),
        session_timeout_ms: SESSION,
        rebalance_timeout_ms: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range", "sticky"]),
        new_member_id: id.to_owned(),
        ..Join::default()
    }
}

fn again(who: &Joined) -> Join {
    Join { member_id: who.member_id.clone(), ..member("unused") }
}

/// A static member that starts, and would be `id`.
fn fixed(id: &str, instance: &str) -> Join {
    Join { instance_id: Some(instance.to_owned()), may_skip_assignment: true, ..member(id) }
}

fn identity(who: &Joined) -> Identity {
    Identity { member_id: who.member_id.clone(), instance_id: None, generation: who.generation }
}

fn leaving(member_id: &str, instance_id: Option<&str>) -> Identity {
    Identity { member_id: member_id.to_owned(), instance_id: instance_id.map(str::to_owned), generation: -1 }
}

#[test]
fn the_first_rebalance_waits_for_more_members_and_not_for_ever() {
    let mut room = Room::new();
    let first = room.join(member("a"));
    for step in 0..25 {
        room.pass(DELAY - 1);
        assert!(!room.joined.contains_key(&first) || step >= 20, "{step}");
        room.join(member(&format!("b{step}")));
    }
    assert!(room.joined.contains_key(&first), "the rebalance timeout ends it");

    let mut alone = Room::new();
    let first = alone.join(member("a"));
    alone.pass(DELAY - 1);
    assert!(!alone.joined.contains_key(&first));
    alone.pass(1);
    assert_eq!(alone.joined[&first].generation, 1, "nobody else came: one delay is enough");
}

#[test]
fn the_leader_alone_is_told_of_everybody_and_its_assignment_reaches_each() {
    let mut room = Room::new();
    let tickets = [room.join(member("a")), room.join(member("b"))];
    room.pass(2 * DELAY);
    let [a, b] = tickets.map(|ticket| room.joined[&ticket].clone());
    assert_eq!((a.leader.as_str(), b.leader.as_str(), a.generation, b.generation), ("a", "a", 1, 1));
    assert_eq!((a.members.len(), b.members.len()), (2, 0));
    assert_eq!(room.state(), State::CompletingRebalance);
    assert_eq!(room.heartbeat(&a), Ok(()));

    let follower = room.sync(&b, &[]);
    assert!(!room.synced.contains_key(&follower));
    let leader = room.sync(&a, &[("b", "for b"), ("stranger", "x")]);
    assert_eq!(room.synced[&follower].assignment, "for b");
    assert_eq!((room.synced[&leader].error, room.synced[&leader].assignment.len()), (ErrorCode::None, 0));
    assert_eq!(room.state(), State::Stable);
    let asked_again = room.sync(&b, &[]);
    assert_eq!(room.synced[&asked_again].assignment, "for b");
}

#[test]
fn an_assignment_counts_when_it_is_durable() {
    let (mut room, a) = Room::unstored();
    let sync = room.sync(&a, &[("a", "x")]);
    assert!(!room.synced.contains_key(&sync));
    assert_eq!(room.state(), State::CompletingRebalance);
    assert_eq!(room.stores[0].value.members[0].assignment, "x");
    let resent = room.sync(&a, &[("a", "x")]);
    assert_eq!(room.stores.len(), 1, "it is on its way already");
    assert_eq!(room.synced[&sync].error, ErrorCode::RebalanceInProgress);
    room.stored(0, Ok(()));
    assert_eq!((room.state(), &room.synced[&resent].assignment[..]), (State::Stable, &b"x"[..]));
}

#[test]
fn an_assignment_that_is_not_stored_is_told_to_all_and_tried_again() {
    let (mut room, a) = Room::unstored();
    let sync = room.sync(&a, &[("a", "x")]);
    room.stored(0, Err(ErrorCode::CoordinatorNotAvailable));
    assert_eq!(room.synced[&sync].error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(room.heartbeat(&a), Err(ErrorCode::RebalanceInProgress));
    let rejoined = room.join(again(&a));
    assert_eq!(room.joined[&rejoined].generation, 2);
}

#[test]
fn an_assignment_of_a_generation_that_has_passed_is_forgotten() {
    let (mut room, a) = Room::unstored();
    let sync = room.sync(&a, &[("a", "old")]);
    room.join(member("b"));
    assert_eq!(room.synced[&sync].error, ErrorCode::RebalanceInProgress);
    room.stored(0, Ok(()));
    assert_eq!(room.state(), State::PreparingRebalance);
}

#[test]
fn who_does_not_join_again_in_time_is_dropped() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    let new = room.join(member("c"));
    for _ in 0..12 {
        assert_eq!(room.heartbeat(&joined[0]), Err(ErrorCode::RebalanceInProgress), "alive, but not here");
        assert_eq!(room.heartbeat(&joined[1]), Err(ErrorCode::RebalanceInProgress));
        assert!(!room.joined.contains_key(&new));
        room.pass(i64::from(REBALANCE) / 12);
    }
    assert_eq!((room.joined[&new].generation, room.ids()), (2, vec!["c".to_owned()]));
    assert_eq!(room.joined[&new].leader, "c", "the leader was dropped as well");
}

#[test]
fn who_does_not_sync_in_time_is_dropped() {
    let mut room = Room::new();
    let tickets = [room.join(member("a")), room.join(member("b"))];
    room.pass(2 * DELAY);
    let [a, b] = tickets.map(|ticket| room.joined[&ticket].clone());
    let waiting = room.sync(&a, &[]);
    for _ in 0..7 {
        room.pass(i64::from(REBALANCE) / 7 + 1);
        let _ = (room.heartbeat(&a), room.heartbeat(&b));
    }
    assert_eq!(room.synced[&waiting].error, ErrorCode::None);
    assert_eq!((room.state(), room.ids()), (State::PreparingRebalance, vec!["a".to_owned()]));
}

#[test]
fn the_protocol_is_the_one_that_most_prefer_of_those_that_all_know() {
    let with = |id: &str, names: &[&str]| Join { protocols: protocols(names), ..member(id) };
    let mut room = Room::new();
    let first = room.join(with("a", &["rare", "range", "sticky"]));
    room.join(with("b", &["sticky", "range"]));
    room.join(with("c", &["range", "sticky"]));
    room.pass(2 * DELAY);
    assert_eq!(room.joined[&first].protocol.as_deref(), Some("range"));
    let stranger = room.join(with("d", &["rare"]));
    assert_eq!(room.joined[&stranger].error, ErrorCode::InconsistentGroupProtocol);
    let other = room.join(Join { protocol_type: "connect".to_owned(), ..member("e") });
    assert_eq!(room.joined[&other].error, ErrorCode::InconsistentGroupProtocol);
    let mut empty = Room::new();
    let nothing = empty.join(with("a", &[]));
    assert_eq!(empty.joined[&nothing].error, ErrorCode::InconsistentGroupProtocol);
    let equals = empty.join(with("a", &["x", "y"]));
    empty.join(with("b", &["y", "x"]));
    empty.pass(2 * DELAY);
    assert_eq!(empty.joined[&equals].protocol.as_deref(), Some("x"));
}

#[test]
fn a_group_out_of_the_log_goes_on_without_a_rebalance() {
    let mut room = Room::new();
    let joined = room.stable(&["a", "b"]);
    let settings = GroupSettings { initial_rebalance_delay_ms: DELAY, size_max: usize::MAX };
    let value = room.stores.last().unwrap().value.clone();
    let mut later = Room::of(ClassicGroup::load(value, settings));
    later.now = 1_000_000;
    later.group.resume(later.now, &mut Effects::default());
    assert_eq!(
        (later.state(), later.group.is_subscribed("t"), later.group.is_subscribed("u")),
        (State::Stable, true, false)
    );
    later.pass(i64::from(SESSION) - 1);
    assert_eq!(later.heartbeat(&joined[0]), Ok(()));
    let synced = later.sync(&joined[0], &[]);
    assert_eq!(later.synced[&synced].assignment, "a");
    later.pass(1);
    assert_eq!(later.ids(), ["a"], "b has not come back");
}

/// D9: that a member has left outlives a crash. The log once told of it only with the next generation: until
/// then the member came back with a restart, and its partitions waited for its session to end, in a group
/// that looked stable.
#[test]
fn a_group_out_of_the_log_does_not_bring_back_a_member_that_had_gone() {
    let settings = GroupSettings { initial_rebalance_delay_ms: DELAY, size_max: usize::MAX };
    let loses: [fn(&mut Room, &[Joined]); 2] = [
        |room, joined| assert_eq!(room.leave(identity(&joined[0])), Ok(())),
        |room, joined| {
            room.pass(i64::from(SESSION) / 2);
            joined[1..].iter().for_each(|alive| assert_eq!(room.heartbeat(alive), Ok(())));
            room.pass(i64::from(SESSION) / 2);
        },
    ];
    for lose in loses {
        let mut room = Room::new();
        let joined = room.stable(&["a", "b", "c"]);
        lose(&mut room, &joined);
        assert_eq!((room.state(), room.ids().len()), (State::PreparingRebalance, 2));

        let value = room.stores.last().unwrap().value.clone();
        let mut later = Room::of(ClassicGroup::load(value, settings));
        later.now = 1_000_000;
        let mut effects = Effects::default();
        later.group.resume(later.now, &mut effects);
        later.take(effects);
        assert_eq!(later.ids(), ["b", "c"]);
        assert_eq!(later.heartbeat(&joined[0]), Err(ErrorCode::UnknownMemberId));
        assert_eq!(later.heartbeat(&joined[1]), Err(ErrorCode::RebalanceInProgress), "at once");
        let tickets = joined[1..].iter().map(|member| later.join(again(member))).collect();
        let joined = later.finish(tickets);
        assert_eq!((later.state(), joined[0].generation), (State::Stable, 2));
        assert!(later.stores.last().unwrap().value.leader.is_some(), "the next generation has one again");
    }
}

#[test]
fn a_group_out_of_the_log_may_be_anything() {
    let member = |id: &str, instance: Option<&str>| records::GroupMemberValue {
        member_id: id.to_owned(),
        group_instance_id: instance.map(str::to_owned),
        session_timeout: -5,
        rebalance_timeout: -7,
        ..Default::default()
    };
    let value = records::GroupValue {
        generation: i32::MAX,
        leader: Some("nobody".to_owned()),
        members: vec![member("a", Some("i")), member("a", None), member("b", Some("i"))],
        ..Default::default()
    };
    let settings = GroupSettings { initial_rebalance_delay_ms: DELAY, size_max: 0 };
    let mut room = Room::of(ClassicGroup::load(value, settings));
    let mut effects = Effects::default();
    room.group.resume(0, &mut effects);
    room.take(effects);
    room.pass(100_000);
    assert_eq!((room.state(), room.group.generation()), (State::Empty, 0));

    let twice = || records::GroupMemberValue { session_timeout: SESSION, ..member("a", None) };
    let value = records::GroupValue {
        protocol_type: "consumer".to_owned(),
        protocol: Some("range".to_owned()),
        members: vec![twice(), twice()],
        ..Default::default()
    };
    let mut room = Room::of(ClassicGroup::load(value, GroupSettings { size_max: 9, ..settings }));
    let rejoined = room.join(Join { member_id: "a".to_owned(), ..super::tests::member("unused") });
    assert_eq!((room.joined[&rejoined].error, room.joined[&rejoined].generation), (ErrorCode::None, 1));
}

#[test]
fn a_group_is_deleted_when_it_is_empty_and_takes_nobody_meanwhile() {
    let mut room = Room::new();
    let joined = room.stable(&["a"]);
    assert_eq!(room.group.bury(), Err(ErrorCode::NonEmptyGroup));
    assert_eq!(room.group.check_offset_delete(), Ok(()));
    room.leave(leaving(&joined[0].member_id, None)).unwrap();
    assert_eq!(room.group.bury(), Ok(()));
    let refused = room.join(member("b"));
    assert_eq!(room.joined[&refused].error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(room.group.commit(room.now, &leaving("", None)), Err(ErrorCode::CoordinatorNotAvailable));
    room.group.revive();
    room.join(member("b"));
    assert_eq!(room.state(), State::PreparingRebalance);
}

#[test]
fn the_retention_of_offsets_begins_with_the_end_of_the_group_or_with_the_commit() {
    let mut room = Room::new();
    assert_eq!(room.group.retention(), Retention::Commit, "no members ever");
    room.join(member("a"));
    assert_eq!(room.group.retention(), Retention::None);
    room.pass(DELAY);
    let a = room.joined[&1].clone();
    room.sync(&a, &[]);
    assert_eq!((room.group.retention(), room.group.is_subscribed("t")), (Retention::Commit, true));
    room.leave(leaving("a", None)).unwrap();
    assert_eq!(
        (room.group.retention(), room.group.is_subscribed("t")),
        (Retention::EmptySince(room.now), false)
    );

    let mut other = Room::new();
    other.join(Join { protocol_type: "connect".to_owned(), ..member("a") });
    other.pass(DELAY);
    let a = other.joined[&1].clone();
    other.sync(&a, &[]);
    assert_eq!(
        (other.group.retention(), other.group.check_offset_delete()),
        (Retention::None, Err(ErrorCode::NonEmptyGroup))
    );
}

/// A client in the random lives: what it believes, and what it waits for.
#[derive(Clone, Default)]
struct Client {
    told: Option<Joined>,
    joining: Option<Ticket>,
    syncing: Option<Ticket>,
    instance: Option<String>,
    heard: i64,
}

/// Random joins, syncs, heartbeats, departures, failures and waits of six clients.
struct Life {
    room: Room,
    random: fastrand::Rng,
    clients: Vec<Client>,
    unstored: Vec<StoreId>,
    next_id: u64,
    asked: BTreeMap<Ticket, i64>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = fastrand::Rng::with_seed(seed);
        let size_max = if random.bool() { 4 } else { usize::MAX };
        let mut room = Room::with(GroupSettings { initial_rebalance_delay_ms: DELAY, size_max });
        room.stores_at_once = false;
        let statics = random.usize(..4);
        let clients = (0..6)
            .map(|at| Client { instance: (at < statics).then(|| format!("i{at}")), ..Client::default() });
        let clients = clients.collect();
        Life { room, random, clients, unstored: Vec::new(), next_id: 0, asked: BTreeMap::new() }
    }

    fn step(&mut self) {
        let at = self.random.usize(..self.clients.len());
        match self.random.u32(..100) {
            0..25 => self.join(at),
            25..50 => self.sync(at),
            50..70 => self.heartbeat(at),
            70..73 => self.leave(at),
            73..75 => self.forget(at),
            75..90 => self.settle(),
            90..97 => self.wait(0..2000),
            _ => self.wait(0..20_000),
        }
        self.hear();
        self.check();
    }

    fn join(&mut self, at: usize) {
        let client = &self.clients[at];
        if client.joining.is_some() && self.random.u32(..10) > 0 {
            return;
        }
        self.next_id += 1;
        let names: &[&str] = match self.random.u32(..4) {
            0 => &["range"],
            1 => &["sticky", "range"],
            _ => &["range", "sticky"],
        };
        let join = Join {
            member_id: client.told.as_ref().map_or(String::new(), |told| told.member_id.clone()),
            instance_id: client.instance.clone(),
            new_member_id: format!("m{}", self.next_id),
            id_required: self.random.bool(),
            may_skip_assignment: self.random.bool(),
            protocols: protocols(names),
            ..member("unused")
        };
        let ticket = self.room.join(join);
        self.clients[at].joining = Some(ticket);
        self.clients[at].heard = self.room.now;
        self.asked.insert(ticket, self.room.now);
    }

    fn sync(&mut self, at: usize) {
        let Some(told) = self.clients[at].told.clone() else { return };
        let assignments: Vec<_> =
            told.members.iter().map(|other| (other.member_id.as_str(), other.member_id.as_str())).collect();
        let ticket = self.room.sync(&told, &assignments);
        self.clients[at].syncing = Some(ticket);
        self.asked.insert(ticket, self.room.now);
    }

    fn heartbeat(&mut self, at: usize) {
        let Some(told) = self.clients[at].told.clone() else { return };
        let who = Identity { instance_id: self.clients[at].instance.clone(), ..identity(&told) };
        match self.room.group.heartbeat(self.room.now, &who) {
            Ok(()) | Err(ErrorCode::RebalanceInProgress) => self.clients[at].heard = self.room.now,
            Err(_) => self.clients[at].told = None,
        }
    }

    fn leave(&mut self, at: usize) {
        if let Some(told) = self.clients[at].told.take() {
            let _ = self.room.leave(leaving(&told.member_id, None));
        }
    }

    /// The client dies, and starts again without its memory.
    fn forget(&mut self, at: usize) {
        let instance = self.clients[at].instance.clone();
        self.clients[at] = Client { instance, ..Client::default() };
    }

    /// The log answers, in order, mostly well.
    fn settle(&mut self) {
        let known: BTreeSet<_> = self.room.stores.drain(..).map(|store| store.id).collect();
        self.unstored.extend(known);
        if !self.unstored.is_empty() {
            let id = self.unstored.remove(0);
            let refused = self.random.u32(..10) == 0;
            let result = if refused { Err(ErrorCode::CoordinatorNotAvailable) } else { Ok(()) };
            self.room.stored(id, result);
        }
    }

    fn wait(&mut self, range: std::ops::Range<i64>) {
        let until = self.room.now + self.random.i64(range);
        while self.room.now < until {
            let step = (until - self.room.now).min(1000);
            self.room.pass(step);
            self.hear();
        }
    }

    /// Clients read their answers.
    fn hear(&mut self) {
        for client in &mut self.clients {
            if let Some(joined) = client.joining.and_then(|ticket| self.room.joined.get(&ticket)) {
                client.joining = None;
                client.told = match joined.error {
                    ErrorCode::None | ErrorCode::MemberIdRequired => Some(joined.clone()),
                    _ => None,
                };
                client.heard = self.room.now;
            }
            if let Some(synced) = client.syncing.and_then(|ticket| self.room.synced.get(&ticket)) {
                client.syncing = None;
                if synced.error == ErrorCode::None {
                    client.heard = self.room.now;
                }
            }
        }
        self.asked.retain(|ticket, _| {
            !self.room.joined.contains_key(ticket) && !self.room.synced.contains_key(ticket)
        });
    }

    fn check(&mut self) {
        let now = self.room.now;
        let described = self.room.group.describe();
        assert!(self.room.group.wake_at() >= now, "nothing is overdue");
        let in_state = |state| described.state == state;
        if in_state(State::Empty) {
            assert!(described.members.is_empty());
        }
        if in_state(State::Stable) || in_state(State::CompletingRebalance) {
            assert!(!described.members.is_empty());
        }
        let generation = self.room.group.generation();
        // Those who were told of this generation were told the same.
        let told: Vec<_> = self.clients.iter().filter_map(|client| client.told.as_ref()).collect();
        let current: Vec<_> = told
            .iter()
            .filter(|told| told.error == ErrorCode::None && told.generation == generation)
            .collect();
        let protocols: BTreeSet<_> = current.iter().map(|told| &told.protocol).collect();
        assert!(protocols.len() <= 1, "one protocol a generation: {protocols:?}");
        let leaders = current.iter().filter(|told| told.leader == told.member_id);
        let leaders: BTreeSet<_> = leaders.map(|told| &told.member_id).collect();
        assert!(leaders.len() <= 1, "one leader a generation: {leaders:?}");
        // Nobody waits past every deadline there is: a rebalance, a sync, and the session of an id that was
        // given out.
        let longest = 2 * i64::from(REBALANCE) + i64::from(SESSION) + 5 * 60 * 1000;
        for (ticket, since) in &self.asked {
            let unstored = !self.unstored.is_empty() || !self.room.stores.is_empty();
            assert!(unstored || now - since <= longest, "{ticket} waits since {since}, it is {now}");
        }
        // Who is in a stable group and was heard of within its session is a member.
        if in_state(State::Stable) {
            for told in current {
                let client = self.clients.iter().find(|client| client.told.as_ref() == Some(told)).unwrap();
                let is_alive = now - client.heard < i64::from(SESSION);
                let is_member = described.members.iter().any(|member| member.member_id == told.member_id);
                let is_replaced = client.instance.is_some() || client.joining.is_some();
                assert!(is_member || !is_alive || is_replaced, "{} was dropped", told.member_id);
            }
        }
    }

    /// Everybody falls silent: in the end every question is answered and the group is empty.
    fn end(&mut self) {
        for _ in 0..10 {
            while !self.unstored.is_empty() || !self.room.stores.is_empty() {
                self.settle();
            }
            self.room.pass(10 * 60 * 1000);
        }
        self.hear();
        assert_eq!(self.asked, BTreeMap::new(), "every ticket is answered");
        assert_eq!(self.room.state(), State::Empty);
        assert_eq!(self.room.group.wake_at(), i64::MAX);
    }
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..300 {
        life.step();
    }
    life.end();
}

#[test]
fn random_lives_keep_the_rules() {
    let seeds = match std::env::var("GROUP_SEED") {
        Ok(seed) => {
            let seed = seed.parse().unwrap();
            seed..seed + 1
        }
        Err(_) => 0..500,
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| live(seed));
        assert!(result.is_ok(), "replay: GROUP_SEED={seed} cargo test -p strandline random_lives");
    }
}
