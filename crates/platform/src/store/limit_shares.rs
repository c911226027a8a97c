//! What each gateway may use of a limit (`domain::limit_shares`). Every round of asking is one transaction in the writers' line: what one
//! gateway gets, no other can have been given.

use super::{Result, Store, Tx, count, in_tx, parsed};
use domain::{
    limit_shares::{Counted, LimitOf, Others, ShareAsk, ShareGiven, SharesGiven},
    time::Timestamp,
};

/// As a gateway's row holds whose limit it is: the id of the key, nothing for the tenant itself.
fn subject(of: &LimitOf) -> String {
    of.key.map(|key| key.to_string()).unwrap_or_default()
}

const fn number(value: u64) -> i64 {
    if value > i64::MAX as u64 { i64::MAX } else { value as i64 }
}

impl Store {
    /// Answers this gateway. Shares of gateways that were last heard of before `gone` are nobody's any more.
    pub(crate) async fn share_limits(&self, gateway: &str, asks: &[ShareAsk], now: Timestamp, gone: Timestamp) -> Result<SharesGiven> {
        let mut tx = self.in_line(now).await?;
        let gateways = tx.gateway_seen(gateway, now, gone).await?;
        let mut given = Vec::with_capacity(asks.len());
        for ask in asks {
            let others = tx.others_share(gateway, &ask.of).await?;
            let held = ask.granted(&others);
            tx.keep_share(gateway, ask, held).await?;
            given.push(ShareGiven { of: ask.of.clone(), held, others });
        }
        let mut missed = Vec::new();
        for of in tx.missed_shares(gateway).await? {
            let others = tx.others_share(gateway, &of).await?;
            missed.push((of, others));
        }
        tx.commit().await?;
        Ok(SharesGiven { given, missed, gateways })
    }
}

impl Tx {
    /// How many gateways there are, with this one.
    async fn gateway_seen(&mut self, gateway: &str, now: Timestamp, gone: Timestamp) -> Result<u64> {
        let seen = "INSERT INTO gateways (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";
        in_tx!(self, db => sqlx::query(seen).bind(gateway).bind(now.0).execute(db).await.map(drop))?;
        let shares = "DELETE FROM limit_shares WHERE gateway IN (SELECT id FROM gateways WHERE seen_at < $1)";
        in_tx!(self, db => sqlx::query(shares).bind(gone.0).execute(db).await.map(drop))?;
        let silent = "DELETE FROM gateways WHERE seen_at < $1";
        in_tx!(self, db => sqlx::query(silent).bind(gone.0).execute(db).await.map(drop))?;
        let (gateways,): (i64,) = in_tx!(self, db => sqlx::query_as("SELECT COUNT(*) FROM gateways").fetch_one(db).await)?;
        count(gateways)
    }

    async fn others_share(&mut self, gateway: &str, of: &LimitOf) -> Result<Others> {
        // CAST: PostgreSQL adds up BIGINT as NUMERIC.
        let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(held), 0) AS BIGINT), CAST(COALESCE(SUM(used), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN wants > held THEN wants - held ELSE 0 END), 0) AS BIGINT) FROM limit_shares \
                   WHERE tenant = $1 AND subject = $2 AND counted = $3 AND gateway <> $4";
        let (gateways, held, used, missing): (i64, i64, i64, i64) = in_tx!(self, db => sqlx::query_as(sql)
            .bind(of.tenant.as_str()).bind(subject(of)).bind(of.counted.word()).bind(gateway).fetch_one(db).await)?;
        Ok(Others { gateways: count(gateways)?, held: count(held)?, used: count(used)?, missing: count(missing)? })
    }

    async fn keep_share(&mut self, gateway: &str, ask: &ShareAsk, held: u64) -> Result<()> {
        if held == 0 && ask.wants == 0 {
            let sql = "DELETE FROM limit_shares WHERE tenant = $1 AND subject = $2 AND counted = $3 AND gateway = $4";
            return in_tx!(self, db => sqlx::query(sql)
                .bind(ask.of.tenant.as_str()).bind(subject(&ask.of)).bind(ask.of.counted.word()).bind(gateway).execute(db).await.map(drop));
        }
        // Nothing for a tenant that was deleted meanwhile: a gateway may be the last to hear of it.
        let sql = "INSERT INTO limit_shares (tenant, subject, counted, gateway, held, used, wants) \
                   SELECT t.name, $2, $3, $4, $5, $6, $7 FROM tenants t WHERE t.name = $1 \
                   ON CONFLICT (tenant, subject, counted, gateway) \
                   DO UPDATE SET held = excluded.held, used = excluded.used, wants = excluded.wants";
        in_tx!(self, db => sqlx::query(sql)
            .bind(ask.of.tenant.as_str()).bind(subject(&ask.of)).bind(ask.of.counted.word()).bind(gateway)
            .bind(number(held)).bind(number(ask.used)).bind(number(ask.wants.min(ask.limit))).execute(db).await.map(drop))
    }

    /// Of what this gateway holds, what others lack.
    async fn missed_shares(&mut self, gateway: &str) -> Result<Vec<LimitOf>> {
        // Unlimited: as many as limits that are fought for in this second.
        let sql = "SELECT mine.tenant, mine.subject, mine.counted FROM limit_shares mine WHERE mine.gateway = $1 AND mine.held > 0 AND EXISTS \
                   (SELECT 1 FROM limit_shares other WHERE other.tenant = mine.tenant AND other.subject = mine.subject \
                   AND other.counted = mine.counted AND other.gateway <> $1 AND other.wants > other.held)";
        let rows: Vec<(String, String, String)> = in_tx!(self, db => sqlx::query_as(sql).bind(gateway).fetch_all(db).await)?;
        rows.into_iter()
            .map(|(tenant, subject, counted)| {
                let key = (!subject.is_empty()).then(|| parsed(&subject)).transpose()?;
                let counted =
                    Counted::from_word(&counted).ok_or_else(|| sqlx::Error::Decode(format!("nothing counts {counted}").into()))?;
                Ok(LimitOf { tenant: parsed(&tenant)?, key, counted })
            })
            .collect()
    }
}
