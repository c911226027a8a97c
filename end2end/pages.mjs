// Every page of the portal, in one place: where it is on the demo's data, who looks at it, its title, and what must be on it.
// The page test and the screenshots both walk through this list.

/**
 * @typedef {object} Visit
 * @property {string} name   also the screenshot's file name
 * @property {string} path
 * @property {'admin'|'auditor'|'owner'|'engineer'|'viewer'|'stranger'|null} who  null = nobody is signed in
 * @property {RegExp} h1     the page's one title
 * @property {(string|RegExp)[]} shows  texts of the main data, there without scripts too
 * @property {number} [status]
 */

/** @returns {Visit[]} */
export function pages(summary) {
  const { tenant, base_model: base, tuned_model: tuned, dataset, endpoint, run } = summary;
  const t = `/t/${tenant}`;
  const name = (text) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return [
    { name: 'login', path: '/login', who: null, h1: /./, shows: [/sign in|continue/i] },
    { name: 'tenants', path: '/?choose=1', who: 'engineer', h1: /./, shows: [name(tenant)] },
    { name: 'no-access', path: '/no-access', who: 'engineer', h1: /./, shows: [] },
    { name: 'home', path: t, who: 'engineer', h1: /./, shows: [name(tuned), name(endpoint)] },

    { name: 'datasets', path: `${t}/datasets`, who: 'engineer', h1: /datasets/i, shows: [name(dataset)] },
    { name: 'dataset-new', path: `${t}/datasets-new`, who: 'engineer', h1: /dataset/i, shows: [/licen[cs]e/i] },
    { name: 'dataset', path: `${t}/datasets/${dataset}`, who: 'engineer', h1: name(dataset), shows: ['380'] },
    { name: 'dataset-rows', path: `${t}/datasets/${dataset}?tab=rows`, who: 'engineer', h1: name(dataset), shows: [/Lumenta|Velkor/] },

    { name: 'runs', path: `${t}/runs`, who: 'engineer', h1: /runs/i, shows: [/succeeded/i] },
    { name: 'run-new', path: `${t}/runs-new`, who: 'engineer', h1: /new run/i, shows: [/epochs/i, /learning rate/i] },
    { name: 'run-clone', path: `${t}/runs-new?from=${run}`, who: 'engineer', h1: /run/i, shows: [/epochs/i] },
    { name: 'run-settings', path: `${t}/runs-new?view=all`, who: 'engineer', h1: /new run/i, shows: [/weight.?_?decay/i] },
    { name: 'run-yaml', path: `${t}/runs-new?view=yaml`, who: 'engineer', h1: /new run/i, shows: [/settings as yaml/i] },
    { name: 'run-config', path: `${t}/runs/${run}?tab=config`, who: 'engineer', h1: /./, shows: [/lora_rank/, /differ from the trainer/i] },
    { name: 'run', path: `${t}/runs/${run}`, who: 'engineer', h1: /./, shows: [/succeeded/i, /loss/i, /evaluate/i] },

    { name: 'models', path: `${t}/models`, who: 'engineer', h1: /models/i, shows: [name(tuned)] },
    { name: 'model', path: `${t}/models/${tuned}`, who: 'engineer', h1: name(tuned), shows: [name(base), name(dataset)] },
    { name: 'card-edit', path: `${t}/models/${tuned}/card/edit?v=1`, who: 'engineer', h1: /./, shows: [/intended/i] },
    { name: 'base-models', path: `${t}/base-models`, who: 'engineer', h1: /base models/i, shows: [name(base)] },

    { name: 'endpoints', path: `${t}/endpoints`, who: 'engineer', h1: /endpoints/i, shows: [name(endpoint)] },
    { name: 'endpoint-external', path: `${t}/endpoints-external`, who: 'owner', h1: /server/i, shows: [/address/i] },
    { name: 'endpoint-new', path: `${t}/endpoints-new`, who: 'engineer', h1: /endpoint/i, shows: [/base model/i] },
    { name: 'endpoint', path: `${t}/endpoints/${endpoint}`, who: 'engineer', h1: name(endpoint), shows: [name(tuned), /\/v1/] },
    { name: 'playground', path: `${t}/playground`, who: 'viewer', h1: /playground/i, shows: [name(`on ${endpoint}`)] },

    { name: 'keys', path: `${t}/keys`, who: 'engineer', h1: /keys/i, shows: [/atl_/] },
    { name: 'key-new', path: `${t}/keys-new`, who: 'engineer', h1: /new (api )?key/i, shows: [/expires/i] },
    { name: 'usage', path: `${t}/usage`, who: 'owner', h1: /usage/i, shows: [/tokens/i] },
    { name: 'usage-by-key', path: `${t}/usage?by=key&days=7`, who: 'owner', h1: /usage/i, shows: [/tokens/i] },
    { name: 'lineage', path: `${t}/lineage`, who: 'engineer', h1: /lineage/i, shows: [name(dataset), name(tuned)] },
    { name: 'members', path: `${t}/members`, who: 'owner', h1: /members/i, shows: [/engineer/i, /end access/i] },
    { name: 'audit', path: `${t}/audit`, who: 'owner', h1: /audit/i, shows: [/run\.launch/] },

    { name: 'admin-tenants', path: '/admin/tenants', who: 'admin', h1: /tenants/i, shows: [name(tenant)] },
    { name: 'admin-tenant-new', path: '/admin/tenants-new', who: 'admin', h1: /new tenant/i, shows: [/storage/i] },
    { name: 'admin-tenant', path: `/admin/tenants/${tenant}`, who: 'admin', h1: /./, shows: [/quota/i, /engineer/i] },
    { name: 'admin-base-models', path: '/admin/base-models', who: 'admin', h1: /base models/i, shows: [name(base)] },
    { name: 'admin-cluster', path: '/admin/cluster', who: 'admin', h1: /cluster/i, shows: [/the machine of this portal/i] },
    { name: 'admin-usage', path: '/admin/usage', who: 'admin', h1: /usage records/i, shows: [/every call is recorded/i] },
    { name: 'admin-audit', path: '/admin/audit', who: 'auditor', h1: /audit/i, shows: [/run\.launch/] },

    { name: 'viewer-run', path: `${t}/runs/${run}`, who: 'viewer', h1: /./, shows: [/succeeded/i] },
    { name: 'auditor-model', path: `${t}/models/${tuned}`, who: 'auditor', h1: name(tuned), shows: [name(base)] },
    { name: 'not-for-you', path: t, who: 'stranger', h1: /not found/i, shows: [/not found/i], status: 404 },
    { name: 'not-found', path: '/no/such/page', who: 'engineer', h1: /./, shows: [], status: 404 },
  ];
}
