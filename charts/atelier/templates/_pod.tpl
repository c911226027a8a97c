{{/* Settings that every process needs to open the portal's data. Secrets come from Secrets only. */}}
{{- define "atelier.dataEnv" -}}
- name: ATELIER_DATA
  value: /var/lib/atelier
- name: ATELIER_LOG_FORMAT
  value: json
- name: ATELIER_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ .Values.database.existingSecret }}, key: {{ .Values.database.key }}}
- name: ATELIER_TOKEN_KEY
  value: /etc/atelier/token-key/token.key
- name: ATELIER_STORE
  value: s3
- name: ATELIER_S3_ENDPOINT
  value: {{ required "store.endpoint is missing: the address of your S3 store, as the portal and the pods of tenants reach it." .Values.store.endpoint | quote }}
- name: ATELIER_S3_REGION
  value: {{ .Values.store.region | quote }}
- name: ATELIER_S3_BUCKET_PREFIX
  value: {{ .Values.store.bucketPrefix | quote }}
- name: ATELIER_S3_PATH_STYLE
  value: {{ .Values.store.pathStyle | quote }}
- name: ATELIER_S3_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ .Values.store.existingSecret }}, key: access_key_id}
- name: ATELIER_S3_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ .Values.store.existingSecret }}, key: secret_access_key}
{{- if .Values.store.ca.configMap }}
- name: ATELIER_S3_CA
  value: /etc/atelier/store-ca/ca.crt
{{- end }}
- name: ATELIER_ENGINE
  value: kubernetes
- name: ATELIER_NAMESPACE_PREFIX
  value: {{ .Values.tenants.namespacePrefix | quote }}
{{- if not .Values.tenants.provision }}
- name: ATELIER_PROVISION
  value: "false"
{{- end }}
- name: ATELIER_PLATFORM_NAMESPACE
  value: {{ .Release.Namespace }}
- name: ATELIER_SERVICE_ACCOUNT
  value: {{ include "atelier.driver" . }}
- name: ATELIER_RUNTIME_ROLE
  value: {{ include "atelier.clusterName" . }}-runtime
{{- with include "atelier.reader" . }}
- name: ATELIER_READER_ACCOUNT
  value: {{ . }}
- name: ATELIER_READER_ROLE
  value: {{ include "atelier.clusterName" $ }}-reader
{{- end }}
- name: ATELIER_TASK_IMAGE
  value: {{ include "atelier.image" (dict "root" . "what" "task") }}
- name: ATELIER_TRAINER_IMAGE
  value: {{ include "atelier.image" (dict "root" . "what" "trainer") }}
- name: ATELIER_VLLM_IMAGE
  value: {{ include "atelier.image" (dict "root" . "what" "vllm") }}
- name: ATELIER_IMAGE_PULL_POLICY
  value: {{ .Values.images.pullPolicy | kebabcase }}
{{- with .Values.tenants.weightsCache.size }}
- name: ATELIER_WEIGHTS_CACHE_SIZE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.tenants.weightsCache.storageClassName }}
- name: ATELIER_WEIGHTS_CACHE_CLASS
  value: {{ . | quote }}
{{- end }}
{{- with .Values.store.networks }}
- name: ATELIER_STORE_NETWORKS
  value: {{ join "," . | quote }}
{{- end }}
{{- end -}}

{{/* The settings of `atelier serve` in one role: root, role. */}}
{{- define "atelier.serveEnv" -}}
{{- $v := .root.Values -}}
{{- $web := or (eq .role "web") (eq .role "all") -}}
{{- $drives := or (eq .role "controller") (eq .role "all") -}}
- name: ATELIER_LISTEN
  value: "0.0.0.0:3000"
{{- if $v.metrics.enabled }}
- name: ATELIER_METRICS_LISTEN
  value: "0.0.0.0:{{ $v.metrics.port }}"
{{- end }}
{{- if ne .role "all" }}
- name: ATELIER_ROLE
  value: {{ .role }}
{{- end }}
# Until proxies have heard that this pod goes; then answers, 20 s for other work and 15 s for the last calls.
- name: ATELIER_SHUTDOWN_DELAY
  value: "5"
- name: ATELIER_DRAIN_TIMEOUT
  value: {{ max 5 (sub (int $v.terminationGracePeriodSeconds) 40) | quote }}
- name: ATELIER_PRODUCTION
  value: {{ $v.production | quote }}
- name: ATELIER_PUBLIC_URL
  value: {{ required "publicUrl is missing: how browsers reach the portal, https://atelier.example.org" $v.publicUrl | quote }}
{{- if eq .role "web" }}
- name: ATELIER_GATEWAY_URL
  value: {{ include "atelier.scheme" .root | lower }}://{{ include "atelier.gatewayService" .root }}.{{ .root.Release.Namespace }}.svc:{{ $v.service.port }}
{{- end }}
- name: ATELIER_ISSUER
  value: {{ required "signIn.issuer is missing: the OpenID Connect issuer at which people sign in, https://sso.example.org/realms/house" $v.signIn.issuer | quote }}
- name: ATELIER_CLIENT_ID
  value: {{ $v.signIn.clientId | quote }}
{{- if $web }}
{{- if $v.signIn.existingSecret }}
- name: ATELIER_CLIENT_SECRET
  valueFrom:
    secretKeyRef: {name: {{ $v.signIn.existingSecret }}, key: {{ $v.signIn.key }}}
{{- end }}
{{- if $v.signIn.peopleCheckSeconds }}
- name: ATELIER_PEOPLE_CHECK_SECONDS
  value: {{ $v.signIn.peopleCheckSeconds | quote }}
{{- end }}
{{- end }}
{{- if $v.signIn.ca.configMap }}
- name: ATELIER_ISSUER_CA
  value: /etc/atelier/issuer-ca/ca.crt
{{- end }}
- name: ATELIER_TENANT_GROUP
  value: {{ $v.signIn.tenantGroup | quote }}
- name: ATELIER_ADMIN_GROUP
  value: {{ $v.signIn.adminGroup | quote }}
- name: ATELIER_AUDITOR_GROUP
  value: {{ $v.signIn.auditorGroup | quote }}
{{- with $v.route.trustedProxies }}
- name: ATELIER_TRUSTED_PROXY
  value: {{ join "," . | quote }}
{{- end }}
{{- if $v.gateway.host }}
- name: ATELIER_ALLOWED_HOST
  value: {{ $v.gateway.host | quote }}
{{- end }}
{{- if or (eq .role "gateway") (eq .role "all") }}
- name: ATELIER_USAGE_SPOOL_BYTES
  value: {{ $v.gateway.spoolBytes | int64 | quote }}
{{- end }}
{{- if $v.tls.existingSecret }}
- name: ATELIER_TLS_CERT
  value: /etc/atelier/tls/tls.crt
- name: ATELIER_TLS_KEY
  value: /etc/atelier/tls/tls.key
{{- end }}
{{- if and $drives $v.store.garage.adminUrl }}
- name: ATELIER_GARAGE_ADMIN_URL
  value: {{ $v.store.garage.adminUrl | quote }}
- name: ATELIER_GARAGE_ADMIN_TOKEN
  value: /etc/atelier/garage/admin-token
{{- end }}
{{- end -}}

{{/* Volumes and their places: root, role ("migrate" for the Job). */}}
{{- define "atelier.volumes" -}}
{{- $v := .root.Values -}}
- name: data
  emptyDir: {}
- name: tmp
  emptyDir: {}
- name: token-key
  secret: {secretName: {{ $v.tokenKey.existingSecret }}, items: [{key: {{ $v.tokenKey.key }}, path: token.key}]}
{{- if $v.store.ca.configMap }}
- name: store-ca
  configMap: {name: {{ $v.store.ca.configMap }}, items: [{key: {{ $v.store.ca.key }}, path: ca.crt}]}
{{- end }}
{{- if ne .role "migrate" }}
{{- if $v.signIn.ca.configMap }}
- name: issuer-ca
  configMap: {name: {{ $v.signIn.ca.configMap }}, items: [{key: {{ $v.signIn.ca.key }}, path: ca.crt}]}
{{- end }}
{{- if $v.tls.existingSecret }}
- name: tls
  secret: {secretName: {{ $v.tls.existingSecret }}}
{{- end }}
{{- if and (or (eq .role "controller") (eq .role "all")) $v.store.garage.adminUrl }}
- name: garage
  secret: {secretName: {{ required "store.garage.existingSecret is missing: the Secret with the token of Garage's admin API." $v.store.garage.existingSecret }}, items: [{key: {{ $v.store.garage.key }}, path: admin-token}]}
{{- end }}
{{- end }}
{{- with $v.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "atelier.mounts" -}}
{{- $v := .root.Values -}}
- {name: data, mountPath: /var/lib/atelier}
- {name: tmp, mountPath: /tmp}
- {name: token-key, mountPath: /etc/atelier/token-key, readOnly: true}
{{- if $v.store.ca.configMap }}
- {name: store-ca, mountPath: /etc/atelier/store-ca, readOnly: true}
{{- end }}
{{- if ne .role "migrate" }}
{{- if $v.signIn.ca.configMap }}
- {name: issuer-ca, mountPath: /etc/atelier/issuer-ca, readOnly: true}
{{- end }}
{{- if $v.tls.existingSecret }}
- {name: tls, mountPath: /etc/atelier/tls, readOnly: true}
{{- end }}
{{- if and (or (eq .role "controller") (eq .role "all")) $v.store.garage.adminUrl }}
- {name: garage, mountPath: /etc/atelier/garage, readOnly: true}
{{- end }}
{{- end }}
{{- with $v.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Pod Security "restricted". */}}
{{- define "atelier.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "atelier.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
