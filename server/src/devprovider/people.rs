//! The people of a development machine, one for every role. Their one password is no secret, which is why this works on loopback only.

/// The password of everybody.
pub const PASSWORD: &str = "atelier";

/// The tenants that they belong to, made at the first start: name and title.
pub const TENANTS: [(&str, &str); 2] = [("lumenta", "Lumenta"), ("velkor", "Velkor")];

pub struct DevPerson {
    /// What is chosen at sign-in, and the subject in tokens.
    pub login: &'static str,
    pub name: &'static str,
    /// For the list: what the groups mean.
    pub part: &'static str,
    pub groups: &'static [&'static str],
}

pub const PEOPLE: [DevPerson; 6] = [
    DevPerson { login: "mira", name: "Mira Castro", part: "owner of Lumenta", groups: &["atelier/lumenta/owner"] },
    DevPerson { login: "jonas", name: "Jonas Lind", part: "engineer at Lumenta", groups: &["atelier/lumenta/engineer"] },
    DevPerson { login: "vera", name: "Vera Sand", part: "viewer at Lumenta", groups: &["atelier/lumenta/viewer"] },
    DevPerson { login: "otto", name: "Otto Brandt", part: "owner of Velkor", groups: &["atelier/velkor/owner"] },
    DevPerson { login: "admin", name: "Piotr Zeller", part: "platform admin", groups: &["atelier-admins"] },
    DevPerson { login: "auditor", name: "Karin Weber", part: "platform auditor", groups: &["atelier-auditors"] },
];

pub fn find(login: &str) -> Option<&'static DevPerson> {
    PEOPLE.iter().find(|p| p.login == login)
}
