//! From CONNECT to CONNACK, what was in flight, and DISCONNECT.

use super::{Action, Appended, Asked, Awaited, Connection, Phase, Ticket};
use crate::codec::{ConnAck, Connect, Disconnect, Name, Packet, Properties, Reason, Version};
use crate::session::{Inbox, NEVER, Outbox, Session, Stage, Stored};
use crate::sessions::Open;

impl Connection {
    pub(super) fn connect(&mut self, connect: Box<Connect>) {
        if self.phase != Phase::New {
            return self.fail(Reason::PROTOCOL_ERROR, "a second CONNECT");
        }
        let version = connect.version;
        self.version = Some(version);
        let properties = &connect.properties;
        if let Some(most) = properties.number(Name::MaximumPacketSize) {
            self.client_packet_bytes_max = most as usize;
        }
        if properties.get_text(Name::AuthenticationMethod).is_some() {
            return self.refuse(Reason::BAD_AUTHENTICATION_METHOD, "an authentication method");
        }
        if connect.client_id.is_empty() {
            if version == Version::V3 && !connect.clean_start {
                return self.refuse(Reason::CLIENT_ID_NOT_VALID, "a session without a client id");
            }
        } else {
            self.client_id.clone_from(&connect.client_id);
        }
        if connect.will.as_ref().is_some_and(|will| self.rules.place(&will.topic).is_err()) {
            return self.refuse(Reason::TOPIC_NAME_INVALID, "a will that has no place");
        }
        self.receive_max = match properties.number(Name::ReceiveMaximum) {
            Some(most) => (most as usize).min(usize::from(self.limits.flights_max)),
            None => usize::from(self.limits.flights_max),
        };
        let keep_alive = self.keep_alive_of(connect.keep_alive);
        // One and a half times as long: MQTT 5.0, 3.1.2.10.
        self.keep_alive = i64::from(keep_alive) * 1500;
        let asked = Asked {
            client_id: self.client_id.clone(),
            open: Open {
                clean_start: connect.clean_start,
                expiry: self.expiry_of(&connect),
                will: connect.will.clone(),
                user: None,
            },
            user_name: connect.user_name.clone(),
            password: connect.password.clone(),
        };
        self.phase = Phase::Opening;
        self.connect = Some(connect);
        self.actions.push_back(Action::Open(Box::new(asked)));
    }

    fn keep_alive_of(&self, asked: u16) -> u16 {
        match self.limits.keep_alive_max {
            0 => asked,
            most if asked == 0 || asked > most => most,
            _ => asked,
        }
    }

    fn expiry_of(&self, connect: &Connect) -> u32 {
        let asked = match (connect.version, connect.clean_start) {
            (Version::V5, _) => connect.properties.number(Name::SessionExpiry).unwrap_or(0),
            (Version::V3, true) => 0,
            (Version::V3, false) => NEVER,
        };
        asked.min(self.limits.session_expiry_max)
    }

    /// The client is not let in.
    pub fn refused(&mut self, reason: Reason) {
        self.connect = None;
        if self.phase == Phase::Opening {
            self.refuse(reason, "it was refused");
        }
        self.settle();
    }

    pub(super) fn refuse(&mut self, reason: Reason, why: &'static str) {
        if self.version != Some(Version::V3) || reason.return_code().is_some() {
            let ack = ConnAck { session_present: false, reason, properties: Properties::default() };
            self.send(&Packet::ConnAck(ack));
        }
        self.end(None, why);
    }

    /// The connection has the session, and what was to be written for that is durable.
    pub fn opened(&mut self, stored: &Stored, is_present: bool) {
        // The client may have gone meanwhile: then the session is closed as it was.
        self.session = Some(stored.session.clone());
        self.is_present = is_present;
        self.outbox = Outbox::restore(&stored.cursors);
        self.inbox = Inbox::restore(&stored.inbox);
        if self.phase == Phase::Opening {
            self.plant();
            self.phase = Phase::Restoring;
            let pending = self.inbox.unresolved();
            match pending.is_empty() {
                true => self.welcome(),
                false => self.act(Awaited::Resolve, |ticket| Action::Resolve { ticket, pending }),
            }
        } else {
            self.with_will = false;
            self.connect = None;
        }
        self.settle();
    }

    /// Which of the messages are in the log, and where.
    pub fn resolved(&mut self, ticket: Ticket, found: &[(u16, Option<Appended>)]) {
        let Some(Awaited::Resolve) = self.take(ticket) else { return };
        found.iter().for_each(|(id, found)| self.inbox.resolve(*id, *found));
        if self.phase == Phase::Restoring {
            self.welcome();
        }
        self.settle();
    }

    fn welcome(&mut self) {
        let Some(connect) = self.connect.take() else { return };
        let session = self.session.as_ref().expect("it was opened");
        let (expiry, has_filters) = (session.expiry, !session.subscriptions.is_empty());
        let mut properties = Properties::default();
        if self.version == Some(Version::V5) {
            let limits = &self.limits;
            if expiry != connect.properties.number(Name::SessionExpiry).unwrap_or(0) {
                properties.four(Name::SessionExpiry, expiry);
            }
            if limits.receive_max < u16::MAX {
                properties.two(Name::ReceiveMaximum, limits.receive_max);
            }
            properties.four(Name::MaximumPacketSize, limits.packet_bytes_max as u32);
            properties.two(Name::TopicAliasMaximum, limits.aliases_max);
            if connect.client_id.is_empty() {
                properties.text(Name::AssignedClientId, &self.client_id);
            }
            let keep_alive = self.keep_alive_of(connect.keep_alive);
            if keep_alive != connect.keep_alive {
                properties.two(Name::ServerKeepAlive, keep_alive);
            }
            properties.flag(Name::SharedAvailable, false);
        }
        self.phase = Phase::Open;
        let session_present = self.is_present;
        self.send(&Packet::ConnAck(ConnAck { session_present, reason: Reason::SUCCESS, properties }));
        for (id, flight) in self.outbox.flights() {
            match flight.stage {
                Stage::Received | Stage::Released => self.release_again(id),
                Stage::Sent | Stage::Waiting | Stage::Numbered => self.resend.push_back(id),
            }
        }
        if has_filters {
            self.survey();
        }
    }

    pub(super) fn disconnect(&mut self, end: &Disconnect) {
        let asked = end.properties.number(Name::SessionExpiry);
        if let (Some(1..), Some(session)) = (asked, &self.session)
            && !session.is_kept()
        {
            return self
                .fail(Reason::PROTOCOL_ERROR, "a session that was to end with the connection is to be kept");
        }
        self.expiry = asked.map(|asked| asked.min(self.limits.session_expiry_max));
        self.with_will = end.reason == Reason::DISCONNECT_WITH_WILL;
        self.end(None, "the client has said goodbye");
    }
}

/// For tests of what a session is left with.
impl Connection {
    /// The session as the connection has it.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }
}
