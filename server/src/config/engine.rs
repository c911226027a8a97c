//! Where tasks run: on this machine, or in a Kubernetes cluster.

use super::{Locations, Refused};
use clap::{Args, ValueEnum};
use engine::{
    Engine,
    kubernetes::{Account, Images, KubernetesEngine, Options, Placement, PullPolicy, Toleration, WeightsCache},
    local::LocalEngine,
};
use std::path::PathBuf;

/// For every command.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// Where trainings and model servers run.
    #[arg(long, env = "ATELIER_ENGINE", value_enum, default_value = "local", global = true)]
    pub engine: EngineName,
    /// File that says how the Kubernetes API server is reached and who we are; default: the service account of the pod that this runs in.
    #[arg(long, env = "ATELIER_KUBECONFIG", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Before a tenant's name in the name of its namespace; two portals on one cluster must differ here.
    #[arg(long, env = "ATELIER_NAMESPACE_PREFIX", default_value = "atelier-", global = true)]
    pub namespace_prefix: String,
    /// Namespace of the portal's own objects.
    #[arg(long, env = "ATELIER_PLATFORM_NAMESPACE", default_value = "atelier", global = true)]
    pub platform_namespace: String,
    /// Whether the portal makes the namespaces of tenants, and gives itself its rights there. False: somebody else applies what `atelier tenant
    /// bundle` prints, and the portal says what is missing.
    #[arg(long, env = "ATELIER_PROVISION", default_value_t = true, value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set, global = true)]
    pub provision: bool,
    /// The portal's service account, in its own namespace, where it has rights only in the namespaces of tenants: it binds itself there to
    /// the role that ATELIER_RUNTIME_ROLE names. The chart sets both; default: whoever we are has its rights in every namespace.
    #[arg(long, env = "ATELIER_SERVICE_ACCOUNT", global = true)]
    pub service_account: Option<String>,
    /// The ClusterRole with what the portal needs in a tenant's namespace.
    #[arg(long, env = "ATELIER_RUNTIME_ROLE", global = true)]
    pub runtime_role: Option<String>,
    /// The service account of the web role, where that is a process of its own: in each tenant's namespace the portal gives it the role that
    /// ATELIER_READER_ROLE names, so that pages can show what is there.
    #[arg(long, env = "ATELIER_READER_ACCOUNT", global = true)]
    pub reader_account: Option<String>,
    /// The ClusterRole with what pages need in a tenant's namespace.
    #[arg(long, env = "ATELIER_READER_ROLE", global = true)]
    pub reader_role: Option<String>,
    /// Image that brings this program, of this version, into the pods of tasks: `/usr/local/bin/atelier`.
    #[arg(long, env = "ATELIER_TASK_IMAGE", global = true)]
    pub task_image: Option<String>,
    /// Image with LLaMA-Factory.
    #[arg(long, env = "ATELIER_TRAINER_IMAGE", global = true)]
    pub trainer_image: Option<String>,
    /// Image with vLLM.
    #[arg(long, env = "ATELIER_VLLM_IMAGE", global = true)]
    pub vllm_image: Option<String>,
    /// When nodes fetch an image that they have already.
    #[arg(long, env = "ATELIER_IMAGE_PULL_POLICY", value_enum, default_value = "if-not-present", global = true)]
    pub image_pull_policy: Pull,
    /// Before a group's name in the names by which the API server knows the groups of people, where it trusts the same identity provider
    /// (its --oidc-groups-prefix; with full paths also the slash: `oidc:/`): a tenant's people may then look into its namespace.
    /// Default: it knows nobody.
    #[arg(long, env = "ATELIER_CLUSTER_GROUP_PREFIX", global = true)]
    pub cluster_group_prefix: Option<String>,
    /// Networks in which the object store is (`10.1.2.0/24`), separated by commas: pods may then reach these only, where the cluster
    /// enforces network policies; default: all but the addresses that hand out credentials.
    #[arg(long, env = "ATELIER_STORE_NETWORKS", value_delimiter = ',', global = true)]
    pub store_networks: Vec<String>,
    /// The resource by which pods ask for GPUs: for shares of one, `nvidia.com/mig-1g.10gb`.
    #[arg(long, env = "ATELIER_GPU_RESOURCE", default_value = "nvidia.com/gpu", global = true)]
    pub gpu_resource: String,
    /// Product of the GPUs that trainings and model servers are to have, or a part of its name (`H200`), as nodes are labelled with it
    /// (`nvidia.com/gpu.product`); default: any.
    #[arg(long, env = "ATELIER_GPU_PRODUCT", global = true)]
    pub gpu_product: Option<String>,
    /// Runtime class of pods with GPUs, where the nodes' usual one does not hand them over.
    #[arg(long, env = "ATELIER_GPU_RUNTIME_CLASS", global = true)]
    pub gpu_runtime_class: Option<String>,
    /// Taints of nodes that pods may go to all the same, as kubectl writes them (`nvidia.com/gpu=present:NoSchedule`), separated by commas.
    #[arg(long, env = "ATELIER_TOLERATIONS", value_delimiter = ',', global = true)]
    pub tolerations: Vec<Toleration>,
    /// Size of a volume for each tenant, on which its model servers keep weights between their starts, as Kubernetes writes amounts (`500Gi`);
    /// default: no volume, and each start fetches them from the object store.
    #[arg(long, env = "ATELIER_WEIGHTS_CACHE_SIZE", global = true)]
    pub weights_cache_size: Option<String>,
    /// Storage class of these volumes; it must allow writing from several nodes at once (ReadWriteMany). Default: the cluster's own.
    #[arg(long, env = "ATELIER_WEIGHTS_CACHE_CLASS", global = true)]
    pub weights_cache_class: Option<String>,
    /// Priority class of all pods.
    #[arg(long, env = "ATELIER_PRIORITY_CLASS", global = true)]
    pub priority_class: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// As processes of this machine.
    Local,
    /// As Jobs and Deployments, in a namespace for each tenant.
    Kubernetes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pull {
    Always,
    IfNotPresent,
    Never,
}

impl EngineArgs {
    /// What the cluster is told.
    pub fn options(&self) -> Result<Options, Refused> {
        let image = |image: &Option<String>, flag: &str, what: &str| {
            let missing = || Refused(format!("On a cluster the portal has to be told the image of {what}: set {flag}."));
            given(image).ok_or_else(missing)
        };
        let label = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let prefix = &self.namespace_prefix;
        if !label(prefix) || !prefix.starts_with(|c: char| c.is_ascii_lowercase()) || prefix.len() > 20 {
            return Err(Refused(format!(
                "ATELIER_NAMESPACE_PREFIX “{prefix}” must begin with a letter and have at most 20 lower-case letters, digits and “-”."
            )));
        }
        Ok(Options {
            kubeconfig: self.kubeconfig.clone(),
            namespace_prefix: prefix.clone(),
            platform_namespace: self.platform_namespace.clone(),
            provision: self.provision,
            account: account(&self.service_account, &self.runtime_role, "ATELIER_SERVICE_ACCOUNT and ATELIER_RUNTIME_ROLE")?,
            reader: account(&self.reader_account, &self.reader_role, "ATELIER_READER_ACCOUNT and ATELIER_READER_ROLE")?,
            images: Images {
                task: image(&self.task_image, "ATELIER_TASK_IMAGE", "this program")?,
                trainer: image(&self.trainer_image, "ATELIER_TRAINER_IMAGE", "the trainer")?,
                vllm: image(&self.vllm_image, "ATELIER_VLLM_IMAGE", "the model server")?,
            },
            image_pull_policy: match self.image_pull_policy {
                Pull::Always => PullPolicy::Always,
                Pull::IfNotPresent => PullPolicy::IfNotPresent,
                Pull::Never => PullPolicy::Never,
            },
            group_prefix: self.cluster_group_prefix.clone(),
            store_networks: self.store_networks.clone(),
            placement: Placement {
                gpu_resource: self.gpu_resource.clone(),
                gpu_product: given(&self.gpu_product),
                tolerations: self.tolerations.clone(),
                priority_class: given(&self.priority_class),
                gpu_runtime_class: given(&self.gpu_runtime_class),
            },
            weights_cache: self.weights_cache()?,
        })
    }
}

impl EngineArgs {
    fn weights_cache(&self) -> Result<Option<WeightsCache>, Refused> {
        match (given(&self.weights_cache_size), given(&self.weights_cache_class)) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refused("ATELIER_WEIGHTS_CACHE_CLASS needs ATELIER_WEIGHTS_CACHE_SIZE beside it (`500Gi`).".into())),
            (Some(size), class) => {
                let no_size = || Refused(format!("ATELIER_WEIGHTS_CACHE_SIZE “{size}” is no size: write an amount such as 500Gi."));
                WeightsCache::new(&size, class).map(Some).ok_or_else(no_size)
            }
        }
    }
}

fn account(name: &Option<String>, role: &Option<String>, variables: &str) -> Result<Option<Account>, Refused> {
    match (given(name), given(role)) {
        (None, None) => Ok(None),
        (Some(name), Some(role)) => Ok(Some(Account { name, role })),
        _ => Err(Refused(format!("{variables} belong together: one of them is missing."))),
    }
}

/// A variable that is set to nothing is not set.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// The engine that was asked for; `program`: what tasks of this machine run. `asks`: whether this process drives tasks or shows pages of the
/// cluster; pods of the others need no account there.
pub async fn engine(locations: &Locations, program: PathBuf, asks: bool) -> Result<Engine, Refused> {
    match locations.engine.engine {
        EngineName::Local => Ok(Engine::Local(LocalEngine::new(locations.data_folder()?.join("engine"), program, locations.task_env()))),
        EngineName::Kubernetes => {
            let options = locations.engine.options()?;
            let engine = if asks || options.kubeconfig.is_some() {
                KubernetesEngine::new(options).await
            } else {
                KubernetesEngine::without_account(options)
            };
            engine.map(Engine::Kubernetes).map_err(|e| Refused(format!("The cluster cannot be used: {e}.")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        engine: EngineArgs,
    }

    fn options(flags: &[&str]) -> Result<Options, Refused> {
        Line::try_parse_from([&["atelier", "--engine", "kubernetes"], flags].concat()).unwrap().engine.options()
    }

    /// As in a pod without a token of the cluster.
    #[tokio::test]
    async fn a_process_that_asks_the_cluster_for_nothing_starts_without_an_account_in_the_cluster() {
        #[derive(Parser)]
        struct All {
            #[command(flatten)]
            locations: Locations,
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let images = ["--task-image", "task:1", "--trainer-image", "trainer:1", "--vllm-image", "vllm:1"];
        let locations = All::try_parse_from([&["atelier", "--engine", "kubernetes"], &images[..]].concat()).unwrap().locations;
        assert!(engine(&locations, PathBuf::new(), false).await.is_ok());
        assert!(engine(&locations, PathBuf::new(), true).await.is_err());
    }

    #[test]
    fn a_cluster_needs_its_images_and_a_prefix_that_namespaces_may_have() {
        let images = ["--task-image", "task:1", "--trainer-image", "trainer:1", "--vllm-image", "vllm:1"];
        let told = options(&[&images[..], &["--image-pull-policy", "never"]].concat()).unwrap();
        assert_eq!((told.images.trainer.as_str(), told.image_pull_policy, told.kubeconfig), ("trainer:1", PullPolicy::Never, None));
        assert_eq!(told.placement, Placement::default());
        let gpus = ["--gpu-resource", "nvidia.com/mig-1g.10gb", "--tolerations", "a=b:NoSchedule,c:NoExecute", "--priority-class", ""];
        let placement = options(&[&images[..], &gpus].concat()).unwrap().placement;
        let taints: Vec<_> = placement.tolerations.iter().map(ToString::to_string).collect();
        assert_eq!((taints, placement.priority_class), (vec!["a=b:NoSchedule".into(), "c:NoExecute".into()], None));
        for without in 0..3 {
            let rest = [&images[..without * 2], &images[without * 2 + 2..]].concat();
            assert!(options(&rest).unwrap_err().0.contains(&images[without * 2].trim_start_matches("--").replace('-', "_").to_uppercase()));
        }
        assert_eq!((told.account, told.reader, told.provision), (None, None, true));
        assert!(!options(&[&images[..], &["--provision", "false"]].concat()).unwrap().provision);
        for (flag, other) in [("--service-account", "ATELIER_RUNTIME_ROLE"), ("--reader-role", "ATELIER_READER_ACCOUNT")] {
            let half = options(&[&images[..], &[flag, "atelier-controller"]].concat()).unwrap_err();
            assert!(half.0.contains(other), "{half}");
        }
        assert_eq!(told.weights_cache, None);
        let cached = options(&[&images[..], &["--weights-cache-size", "500Gi", "--weights-cache-class", "nfs"]].concat()).unwrap();
        assert_eq!(cached.weights_cache, WeightsCache::new("500Gi", Some("nfs".into())));
        for bad in [&["--weights-cache-size", "much"][..], &["--weights-cache-class", "nfs"]] {
            assert!(options(&[&images[..], bad].concat()).unwrap_err().0.contains("ATELIER_WEIGHTS_CACHE_SIZE"));
        }
        for prefix in ["", "Atelier-", "1-", "a_b", &"a".repeat(21)] {
            assert!(options(&[&images[..], &["--namespace-prefix", prefix]].concat()).is_err(), "{prefix}");
        }
    }
}
