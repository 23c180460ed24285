/** Profiles of this process, taken by the engine itself and read by any browser's developer tools. */
import { mkdir, writeFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import type { Profiles } from './calls.ts';

const CPU_SAMPLE_US = 250;
const HEAP_SAMPLE_OCTETS = 32 * 1024;

/** Begins what is asked for; the function given back ends it and writes `<label>.cpuprofile`, `<label>.heapprofile`. */
export async function startProfiles(profiles: Profiles, label: string): Promise<() => Promise<void>> {
  const { cpu, heap } = profiles;
  if (cpu === undefined && heap === undefined) return async () => undefined;
  const session = new Session();
  session.connect();
  if (heap !== undefined) {
    await session.post('HeapProfiler.startSampling', { samplingInterval: HEAP_SAMPLE_OCTETS });
  }
  if (cpu !== undefined) {
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: CPU_SAMPLE_US });
    await session.post('Profiler.start');
  }
  return async () => {
    if (cpu !== undefined) await write(cpu, `${label}.cpuprofile`, (await session.post('Profiler.stop')).profile);
    if (heap !== undefined) {
      await write(heap, `${label}.heapprofile`, (await session.post('HeapProfiler.stopSampling')).profile);
    }
    session.disconnect();
  };
}

async function write(directory: string, name: string, profile: unknown): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, name), JSON.stringify(profile));
}
