//! What the runs and endpoints of a tenant can ask the machines for, and why a request cannot be met.

use crate::{Platform, access::Scope};
use domain::{
    problem::FieldProblem,
    queue::QueueLimits,
    resource_request::ResourceRequest,
    supply::{Machines, Supply, Times},
};
use std::time::{Duration, Instant};

/// A cluster that does not answer must hold up neither the form nor the launch: then nothing is known of its machines.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer is good, also that there was none: pages ask for it whenever one of their endpoints changes.
const HOLDS: Duration = Duration::from_secs(20);

impl Platform {
    /// `None` = tasks are processes of one machine, and have what there is.
    pub async fn supply(&self, scope: &Scope) -> Option<Supply> {
        if !self.has_cluster() {
            return None;
        }
        let limits = self.task_limits();
        Some(Supply {
            machines: self.machines().await,
            default_gpus: limits.gpus,
            most_memory: limits.memory,
            quota: scope.tenant().quota.compute.clone(),
            queue: self.queue(scope).await,
        })
    }

    /// However often it is asked, the cluster is asked once in a while.
    async fn machines(&self) -> Machines {
        let mut last = self.inner.machines.lock().await;
        if let Some((at, machines)) = &*last
            && at.elapsed() < HOLDS
        {
            return machines.clone();
        }
        let machines = self.machines_now().await;
        *last = Some((Instant::now(), machines.clone()));
        machines
    }

    async fn machines_now(&self) -> Machines {
        match tokio::time::timeout(PATIENCE, self.engine().machines()).await {
            Ok(Ok(machines)) => machines.unwrap_or_default(),
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "the machines of the cluster could not be looked at");
                Machines::default()
            }
            Err(_) => {
                tracing::warn!("the cluster did not say in {} s which machines it has", PATIENCE.as_secs());
                Machines::default()
            }
        }
    }

    /// `None` also where the cluster did not answer in time: then nothing is held against a request, and the queue itself tells.
    async fn queue(&self, scope: &Scope) -> Option<QueueLimits> {
        let tenant = &scope.tenant().name;
        match tokio::time::timeout(PATIENCE, self.engine().queue_limits(tenant)).await {
            Ok(Ok(limits)) => limits,
            Ok(Err(e)) => {
                tracing::warn!(error = %e, %tenant, "the queue of the tenant could not be looked at");
                None
            }
            Err(_) => {
                tracing::warn!(%tenant, "the cluster did not say in {} s which queue the tenant has", PATIENCE.as_secs());
                None
            }
        }
    }

    /// All that keeps the request from being met, by the fields of the form.
    pub(crate) async fn wrong_resources(&self, scope: &Scope, request: &ResourceRequest, times: Times) -> Vec<FieldProblem> {
        match self.supply(scope).await {
            Some(supply) => supply.check(request, times),
            None => on_one_machine(request),
        }
    }
}

fn on_one_machine(request: &ResourceRequest) -> Vec<FieldProblem> {
    let asked = [
        request.gpus.is_some(),
        request.gpu_product.is_some(),
        request.mig_profile.is_some(),
        request.cpu.is_some(),
        request.memory.is_some(),
    ];
    let sentence = "Here runs and model servers are processes of one machine, and use what it has. To ask for resources needs a portal that \
                    works on a cluster.";
    let problem = |field: &str| FieldProblem::new(field, sentence);
    ResourceRequest::FIELDS.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(field, _)| problem(field)).collect()
}
