/** System > Clustering, read-only. Field names and row texts are those of the field, byte for byte. */
import type { PeerRowStatus, PeerStatus } from '../../peer/peer-handle.ts';
import { Field, Moment, PeerSpecific, Section, useHelp, Verdict } from './parts.tsx';

const PEERS_MAX = 6;

function tlsWord(mode: string): string {
  return mode === 'Enforcing' ? 'Enforce' : mode;
}

function TlsMode({ cluster }: { cluster: PeerStatus['cluster'] }) {
  const differs = cluster.tlsVerify !== cluster.tlsVerifyAtStart;
  return (
    <>
      {tlsWord(cluster.tlsVerify)}
      {differs && <span class="note">{tlsWord(cluster.tlsVerifyAtStart)} until this peer restarts</span>}
    </>
  );
}

export function ConfigurationSection({ status }: { status: PeerStatus }) {
  const { cluster } = status;
  const primary = cluster.peers[cluster.configurationPrimary - 1];
  return (
    <Section title="Configuration">
      <dl class="fields">
        <Field
          label="Cluster name (FQDN for Provisioning)"
          peerSpecific
          help="The name of the cluster, an FQDN, identical on all peers. It is set on each peer."
        >
          {cluster.name === '' ? <span class="muted">empty</span> : cluster.name}
        </Field>
        <Field
          label="Configuration primary"
          peerSpecific
          help="The row number of the peer whose configuration is copied to all other peers about every 2 minutes. The same on all peers."
        >
          {cluster.configurationPrimary}
          <span class="note">{primary?.state === 'This system' ? 'this system' : primary?.text}</span>
        </Field>
        <Field
          label="TLS verification mode"
          help="Permissive: peers do not validate each other's certificates. Enforce: every peer needs a valid certificate that names its row and whose authority all other peers trust. A change takes effect on a peer when it restarts."
        >
          <TlsMode cluster={cluster} />
        </Field>
        <Field
          label="Cluster IP version"
          peerSpecific
          help="The IP version peers use among themselves, identical on all peers."
        >
          {cluster.ipVersion}
        </Field>
      </dl>
      <PeerTable cluster={cluster} />
    </Section>
  );
}

function PeerTable({ cluster }: { cluster: PeerStatus['cluster'] }) {
  const rows = Array.from({ length: PEERS_MAX }, (_, at) => cluster.peers[at]);
  return (
    <table class="peers">
      <caption>Peer addresses, the same list in the same order on every peer</caption>
      <thead>
        <tr>
          <th scope="col">Row</th>
          <th scope="col">Address</th>
          <th scope="col">Status</th>
          <th scope="col" class="number">
            Round trip (ms)
          </th>
          <th scope="col">
            <span class="unseen">Help</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row, at) => (
          <PeerRow key={at} index={at + 1} row={row} primary={cluster.configurationPrimary === at + 1} />
        ))}
      </tbody>
    </table>
  );
}

function PeerRow({ index, row, primary }: { index: number; row: PeerRowStatus | undefined; primary: boolean }) {
  const help = useHelp(
    `Peer ${index} address`,
    `IP address or FQDN of peer ${index}. The list has no gaps and stands in the same order on every peer, each peer itself included.`,
  );
  return (
    <tr class={row === undefined ? 'empty' : ''} data-state={row?.state}>
      <th scope="row">
        <span>Peer {index} address</span>
        <PeerSpecific />
      </th>
      <td>
        {row === undefined ? <span class="muted">empty</span> : <span class="address">{row.text}</span>}
        {row !== undefined && primary && <span class="tag">primary</span>}
        {help.text}
      </td>
      <td class="lines">{row !== undefined && <PeerLines row={row} />}</td>
      <td class="number">{row?.rttMs === undefined ? '' : row.rttMs.toFixed(2)}</td>
      <td class="helps">{help.button}</td>
    </tr>
  );
}

function PeerLines({ row }: { row: PeerRowStatus }) {
  return (
    <>
      {row.certificate !== undefined && <Verdict ok={row.certificate.valid} text={row.certificate.text} />}
      <Verdict ok={row.clustering.ok} text={row.clustering.text} />
      {row.reason !== undefined && <span class="reason">{row.reason}</span>}
    </>
  );
}

export function DatabaseSection({ status }: { status: PeerStatus }) {
  const { databaseStatus, databaseDetail } = status.cluster;
  const ok = databaseStatus === 'Active' ? true : databaseStatus === 'Starting' ? undefined : false;
  return (
    <Section title="Cluster database status">
      <p class="database" aria-live="polite">
        <Verdict ok={ok} text={databaseStatus} />
        <span class="note">{databaseDetail}</span>
      </p>
    </Section>
  );
}

export function MappingSection({ status }: { status: PeerStatus }) {
  const { enabled, mappings } = status.addressMapping;
  return (
    <Section title="Cluster Address Mapping">
      <dl class="fields">
        <Field
          label="Cluster address mapping enabled"
          help="When On, these pairs are consulted before DNS, and a pair that matches spares the DNS query. They are shared by the whole cluster at once. Never map public FQDNs to private addresses in public DNS."
        >
          {enabled ? 'On' : 'Off'}
        </Field>
      </dl>
      {enabled && mappings.length > 0 && (
        <table>
          <caption>Cluster address mappings</caption>
          <thead>
            <tr>
              <th scope="col">FQDN</th>
              <th scope="col">IP</th>
            </tr>
          </thead>
          <tbody>
            {mappings.map(({ fqdn, ip }) => (
              <tr key={fqdn}>
                <td>{fqdn}</td>
                <td>{ip}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {enabled && mappings.length === 0 && <p class="muted">No mapping: every name is asked of DNS.</p>}
    </Section>
  );
}

export function AlarmSection({ status }: { status: PeerStatus }) {
  const { alarms } = status;
  return (
    <Section title="Alarms" aside={alarms.length === 0 ? undefined : String(alarms.length)}>
      <div aria-live="polite">
        {alarms.length === 0 ? (
          <p class="muted">No alarm is raised on this peer.</p>
        ) : (
          <table class="alarms">
            <thead>
              <tr>
                <th scope="col">Id</th>
                <th scope="col">Severity</th>
                <th scope="col">Alarm</th>
                <th scope="col">What to do</th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              {alarms.map((alarm) => (
                <tr key={`${alarm.uuid} ${alarm.node}`}>
                  <td class="number">{alarm.id}</td>
                  <td>
                    <span class={`severity ${alarm.severity}`}>{alarm.severity}</span>
                  </td>
                  <td>
                    <strong>{alarm.title}</strong>
                    <span class="description">{alarm.description}</span>
                  </td>
                  <td>{alarm.remedy}</td>
                  <td class="moment">
                    <Moment iso={alarm.raisedAt} otherwise="unknown" />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </Section>
  );
}

export function SynchronisationLine({ status }: { status: PeerStatus }) {
  const { lastSynchronisation, nextSynchronisation } = status.cluster;
  return (
    <footer>
      <span>
        Previous synchronisation: <Moment iso={lastSynchronisation} otherwise="none since this peer started" />
      </span>
      <span>
        Next synchronisation: <Moment iso={nextSynchronisation} otherwise="not planned yet" />
      </span>
    </footer>
  );
}
