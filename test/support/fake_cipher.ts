/**
 * A cipher that hides nothing and binds everything. Reveals ciphertexts that are opened for another
 * row than they were sealed for, and counts how often one is opened.
 */

import type { Cipher } from "../../src/auth/vault.ts";

export class FakeCipher implements Cipher {
  decryptions = 0;
  #serial = 0;

  encrypt(plaintext: string, associatedData: string): Promise<string> {
    this.#serial += 1;
    return Promise.resolve(JSON.stringify([this.#serial, associatedData, plaintext]));
  }

  decrypt(ciphertext: string, associatedData: string): Promise<string> {
    this.decryptions += 1;
    const parsed: unknown = JSON.parse(ciphertext);
    if (Array.isArray(parsed) && parsed[1] === associatedData && typeof parsed[2] === "string") {
      return Promise.resolve(parsed[2]);
    }
    return Promise.reject(new Error("Cannot decrypt: the ciphertext is of another row"));
  }
}
