import { describe, expect, it } from 'vitest';
import { arbitrate, replacedReason } from '../../../src/net/arbitration.ts';
import { matchRow, type PeerAddress } from '../../../src/net/row-match.ts';

const offer = { moment: 7, session: 'new', resume: { session: 'old', received: 5 } };
const link = { sessionId: 'old', incarnation: 3, received: 8, moment: 6 };

describe('one link per pair', () => {
  it('settles two dials that crossed the same way on both sides', () => {
    const question = { peerIncarnation: 3, offer, link: undefined, isOwnHelloOut: true };
    const small = arbitrate({ ...question, ownNodeId: 'a', peerNodeId: 'b' });
    const great = arbitrate({ ...question, ownNodeId: 'b', peerNodeId: 'a' });
    expect([small.type, great.type]).toEqual(['refuse', 'begin']);
  });

  it('accepts whoever comes while no hello of its own is out', () => {
    const question = { peerIncarnation: 3, offer, link: undefined, isOwnHelloOut: false };
    expect(arbitrate({ ...question, ownNodeId: 'a', peerNodeId: 'b' }).type).toBe('begin');
  });

  it('resumes a session only in the same life of the other node', () => {
    const question = { ownNodeId: 'a', peerNodeId: 'b', offer, link, isOwnHelloOut: false };
    expect(arbitrate({ ...question, peerIncarnation: 3 })).toEqual({ type: 'resume', session: 'old', received: 8 });
    expect(arbitrate({ ...question, peerIncarnation: 4 })).toEqual({ type: 'begin', session: 'new' });
    const other = { ...link, sessionId: 'another' };
    expect(arbitrate({ ...question, peerIncarnation: 3, link: other })).toEqual({ type: 'begin', session: 'new' });
  });

  it('refuses a hello that was overtaken by the word that made the link', () => {
    const question = { ownNodeId: 'a', peerNodeId: 'b', offer, isOwnHelloOut: false, link: { ...link, moment: 8 } };
    expect(arbitrate({ ...question, peerIncarnation: 3 }).type).toBe('refuse');
    // In another life of that node the count began anew.
    expect(arbitrate({ ...question, peerIncarnation: 4 }).type).toBe('begin');
  });

  it('calls a node that was restarted gone, and one that began anew silent', () => {
    expect([replacedReason(3, 4), replacedReason(3, 3)]).toEqual(['refused', 'silent']);
  });
});

describe('the row of a node', () => {
  const rows: PeerAddress[] = [
    { index: 2, text: 'b.example', address: '10.0.0.2', port: 4372 },
    { index: 3, text: 'c.example', address: '10.0.0.3', port: 4372 },
    { index: 4, text: 'd.example', address: undefined, port: 4372 },
  ];
  const node = (host: string, port = 4372) => ({ nodeId: 'x', name: `clusterdb@${host}`, incarnation: 1, port });

  it('is told by its source address, whatever its name', () => {
    expect(matchRow(rows, '10.0.0.3', node('renamed.example'), 'Enforcing').row?.index).toBe(3);
    expect(matchRow(rows, '::ffff:10.0.0.3', node('c.example'), 'Enforcing').failure).toBeUndefined();
  });

  it('is told by its port where peers share an address', () => {
    const lab = [5001, 5002].map((port, i) => ({ index: i + 2, text: `p${i}`, address: '127.0.0.1', port }));
    expect(matchRow(lab, '127.0.0.1', node('p9', 5002), 'Permissive').row?.index).toBe(3);
    expect(matchRow(lab, '127.0.0.1', node('p9', 5003), 'Permissive').failure?.code).toBe('unknown_node');
  });

  it('E29 names both addresses when a translated address is seen', () => {
    const { failure } = matchRow(rows, '192.0.2.1', node('b.example'), 'Permissive');
    expect(failure?.code).toBe('address_mismatch');
    expect(failure?.text).toContain('Peer 2 connects from 192.0.2.1 but its row resolves to 10.0.0.2');
  });

  it('B17 is not believed by name alone in Enforcing mode', () => {
    expect(matchRow(rows, '10.0.0.9', node('D.example.'), 'Permissive').row?.index).toBe(4);
    expect(matchRow(rows, '10.0.0.9', node('D.example.'), 'Enforcing').failure?.code).toBe('address_mismatch');
  });

  it('is missing for a stranger', () => {
    expect(matchRow(rows, '10.0.0.9', node('z.example'), 'Permissive').failure?.code).toBe('unknown_node');
  });
});
