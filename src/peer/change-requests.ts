/** Pure: what a change of the configuration means for the tables, and how the event log words it (L22). */
import { CLUSTER_ITEM, PEER_ITEM, peerAddressItem, TABLE } from '../../actors/clusterdb/cluster-configuration.ts';
import type { TableRequest } from '../../actors/clusterdb/ports.ts';
import type { ClusterConfiguration, ConfigurationChange } from './peer-handle.ts';

export interface ChangeRequest {
  readonly table: string;
  readonly request: TableRequest;
  /** The page's path below `configuration/`. */
  readonly item: string;
  readonly from: string;
  readonly to: string;
}

type Value = string | number;

function insert(table: string, key: string, from: Value, to: Value): ChangeRequest {
  const request: TableRequest = { type: 'insert', rows: [{ key, value: to }] };
  return { table, request, item: `cluster/${key}`, from: String(from), to: String(to) };
}

function remove(table: string, key: string, from: string): ChangeRequest {
  return { table, request: { type: 'delete', keys: [key] }, item: `cluster/${key}`, from, to: '' };
}

const onOff = (on: boolean) => (on ? 'On' : 'Off');

/** `undefined` when the value is stored already: nothing is written and nothing is said. */
export function changeRequest(change: ConfigurationChange, now: ClusterConfiguration): ChangeRequest | undefined {
  const request = requestOf(change, now);
  return request.from === request.to ? undefined : request;
}

function requestOf(change: ConfigurationChange, now: ClusterConfiguration): ChangeRequest {
  const { peerConfiguration, clusterConfiguration } = TABLE;
  switch (change.item) {
    case 'clusterName':
      return insert(peerConfiguration, PEER_ITEM.name, now.name, change.value);
    case 'configurationPrimary':
      return insert(peerConfiguration, PEER_ITEM.primary, now.configurationPrimary, change.value);
    case 'ipVersion':
      return insert(peerConfiguration, PEER_ITEM.ipVersion, now.ipVersion, change.value);
    case 'tlsVerify':
      return insert(clusterConfiguration, CLUSTER_ITEM.tlsVerify, now.tlsVerify, change.value);
    case 'addressMappingEnabled':
      return insert(
        clusterConfiguration,
        CLUSTER_ITEM.addressMapping,
        onOff(now.addressMapping.enabled),
        onOff(change.value),
      );
    case 'peerAddress':
      return peerAddressRequest(change.index, change.value, now);
    case 'addressMapping':
      return mappingRequest(change.fqdn.toLowerCase(), change.ip, now);
  }
}

function peerAddressRequest(index: number, text: string, now: ClusterConfiguration): ChangeRequest {
  const before = now.peers[index - 1] ?? '';
  const key = peerAddressItem(index);
  return text === ''
    ? remove(TABLE.peerConfiguration, key, before)
    : insert(TABLE.peerConfiguration, key, before, text);
}

function mappingRequest(fqdn: string, ip: string | undefined, now: ClusterConfiguration): ChangeRequest {
  const before = now.addressMapping.mappings.find((mapping) => mapping.fqdn.toLowerCase() === fqdn)?.ip ?? '';
  const { clusterAddressMapping } = TABLE;
  const request =
    ip === undefined ? remove(clusterAddressMapping, fqdn, before) : insert(clusterAddressMapping, fqdn, before, ip);
  return { ...request, item: `cluster/address_mapping/${fqdn}` };
}
